//! How the body of an endpoint says which order it keeps.

use crate::extract::{Fields, Given, Problem};
use hookfast_core::limits::ORDERING_POINTER_BYTES_MAX;
use hookfast_core::model::{OnDead, Ordering};
use hookfast_core::ordering::is_pointer;
use serde::Serialize;
use utoipa::ToSchema;

/// How an endpoint keeps order: of messages with the same key, each is sent after the one before it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderingBody {
    /// Where in the payload the key stands: a JSON pointer (RFC 6901), such as `/data/id`; null is the message's
    /// `orderingKey`. Messages without a key are not held up.
    #[schema(max_length = 256)]
    pointer: Option<String>,
    /// What a delivery that has used up its tries does to those after it: `block` holds them until it was sent again
    /// with success, `skip` lets them go on.
    #[schema(value_type = Option<OnDeadWord>, required = false, default = "block")]
    on_dead: OnDeadWord,
}

/// What a dead delivery does to those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum OnDeadWord {
    /// Those after it wait.
    Block,
    /// Those after it go on.
    Skip,
}

impl From<&Ordering> for OrderingBody {
    fn from(ordering: &Ordering) -> Self {
        let on_dead = match ordering.on_dead {
            OnDead::Block => OnDeadWord::Block,
            OnDead::Skip => OnDeadWord::Skip,
        };
        Self { pointer: ordering.pointer.clone(), on_dead }
    }
}

/// Reads `ordering`.
pub(super) fn read_ordering(fields: &mut Fields<'_>) -> Given<Ordering> {
    let inner = match fields.raw("ordering") {
        Given::Absent => return Given::Absent,
        Given::Null => return Given::Null,
        Given::Value(_) => fields.object("ordering"),
    };
    let Some(mut inner) = inner else { return Given::Absent };
    let pointer = inner.text("pointer", pointer).value();
    let on_dead = inner.text("onDead", |text| on_dead(text).map(drop)).value();
    let on_dead = on_dead.and_then(|word| OnDead::parse(&word)).unwrap_or(OnDead::Block);
    if fields.absorb(inner) { Given::Value(Ordering { pointer, on_dead }) } else { Given::Absent }
}

fn pointer(text: &str) -> Result<(), Problem> {
    if is_pointer(text) {
        return Ok(());
    }
    let most = ORDERING_POINTER_BYTES_MAX;
    let msg = format!("expected a JSON pointer such as /data/id of at most {most} bytes, got {text:?}");
    Err(Problem::new("value_error", msg))
}

fn on_dead(text: &str) -> Result<OnDead, Problem> {
    OnDead::parse(text).ok_or_else(|| Problem::new("value_error", format!("expected block or skip, got {text:?}")))
}
