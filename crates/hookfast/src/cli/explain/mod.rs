//! `hookfast explain`: why an event did or did not arrive, and how an endpoint does. Knows them only through the API.

mod endpoint;
mod event;
mod words;

use super::naming::{Kind, Named, app, thing};
use super::print_line;
use crate::client::{Api, Target, segment};
use crate::exit::{Exit, Failure};
use http::Method;
use std::process::ExitCode;

/// Tell why an event did or did not arrive, or how an endpoint does
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
First what came of it, for each endpoint, with what to type to mend it; then every attempt.

Examples:
  hookfast explain msg_0vUNeJg0HgVB4gWI42p3kK
  hookfast explain invoice-17 --app shop
  hookfast explain ep_0vUNeJg0HgVB4gWI42p3kK --json")]
pub(crate) struct Args {
    /// An event or an endpoint: its id, your own id for it, or the start of either
    #[arg(value_name = "EVENT|ENDPOINT")]
    thing: String,
    /// Its application, by id or uid; not needed with a whole id, or when there is only one
    #[arg(long)]
    app: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Runs `hookfast explain`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let api = args.target.connect().await?;
    let told = tell(&api, &args).await;
    api.close().await;
    told.map(|()| ExitCode::SUCCESS)
}

async fn tell(api: &Api, args: &Args) -> anyhow::Result<()> {
    let (kind, named) = meant(api, args).await?;
    let (app, id) = (segment(&named.app), segment(&named.id));
    let path = format!("/api/v1/hookfast/app/{app}/{}/{id}/explain", kind.segment());
    let story = api.json(Method::GET, &path, None).await?;
    if args.json {
        return Ok(print_line(&story)?);
    }
    let flags = args.target.flags();
    let text = match kind {
        Kind::Event => event::tell(&story, &flags),
        Kind::Endpoint => endpoint::tell(&story, &flags),
    };
    Ok(print_line(text.trim_end())?)
}

/// What is asked about: by the prefix of an id, else first among the events, then among the endpoints.
async fn meant(api: &Api, args: &Args) -> anyhow::Result<(Kind, Named)> {
    let given = args.thing.as_str();
    for kind in [Kind::Event, Kind::Endpoint] {
        if given.starts_with(kind.prefix()) {
            return Ok((kind, thing(api, kind, args.app.as_deref(), given).await?));
        }
    }
    let app = app(api, args.app.as_deref()).await?;
    let no_event = match thing(api, Kind::Event, Some(&app), given).await {
        Ok(named) => return Ok((Kind::Event, named)),
        Err(error) if Failure::exit_of(&error) == Exit::NotFound => error,
        Err(error) => return Err(error),
    };
    let no_endpoint = match thing(api, Kind::Endpoint, Some(&app), given).await {
        Ok(named) => return Ok((Kind::Endpoint, named)),
        Err(error) => error,
    };
    // Whichever knows a near name has more to say.
    let errors = [no_event, no_endpoint];
    let hinting = errors.iter().find(|error| error.to_string().contains("did you mean"));
    let why = hinting.map_or_else(|| format!("no event and no endpoint is called {given}"), ToString::to_string);
    Err(Failure::new(Exit::NotFound, why))
}
