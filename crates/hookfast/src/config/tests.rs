//! The four sources, their order, and what is said about what is wrong.

use super::keys::keys;
use super::*;
use proptest::prelude::*;
use std::io::Write as _;

pub(super) fn load_from(
    args: &ConfigArgs,
    overrides: Overrides<'_>,
    variables: Vec<(String, String)>,
) -> Result<Config, Vec<Wrong>> {
    read(args, overrides, variables).map(|(config, _)| config)
}

pub(super) fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(super) fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

pub(super) fn faults(toml: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let file = file(toml);
    let args = ConfigArgs { config: Some(file.path().to_owned()), ..ConfigArgs::default() };
    let name = file.path().display().to_string();
    let faults = load_from(&args, &[], env(variables)).expect_err("a fault");
    faults.iter().map(|fault| fault.to_string().replace(&name, "FILE")).collect()
}

#[test]
fn every_default_keeps_its_own_rule() {
    let config = load_from(&ConfigArgs::default(), &[], Vec::new()).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8071");
    assert_eq!(config.retry.delays, hookfast_core::retry::RetryPolicy::default().delays_ms);
    assert_eq!(config.server.body_bytes_max, hookfast_core::limits::BODY_BYTES_MAX as u64);
    assert_eq!(config.delivery.breaker_gap_ms_max, None);
    assert!(config.delivery.allow_networks.is_empty());
}

#[test]
fn a_later_source_wins_over_an_earlier_one() {
    let file = file("[server]\nlisten = '127.0.0.1:1'\ndrain_ms = 1\nbody_timeout_ms = 1\ndata_dir = 'a'\n");
    let args = ConfigArgs {
        config: Some(file.path().to_owned()),
        data_dir: Some("d".into()),
        set: vec!["server.body_timeout_ms=3s".into()],
        ..ConfigArgs::default()
    };
    let variables = env(&[
        ("HOOKFAST_SERVER__LISTEN", "127.0.0.1:3"),
        ("HOOKFAST_LISTEN", "127.0.0.1:2"),
        ("HOOKFAST_SERVER__BODY_TIMEOUT_MS", "2"),
        ("HOOKFAST_DATA_DIR", "b"),
        ("HOOKFAST_RETRY__DELAYS", "100ms, 2s"),
    ]);
    let config = load_from(&args, &[], variables).unwrap();
    assert_eq!(config.server.listen.port(), 3, "the long variable wins over the short one");
    assert_eq!((config.server.drain_ms, config.server.body_timeout_ms), (1, 3000));
    assert_eq!(config.server.data_dir, PathBuf::from("d"));
    assert_eq!(config.retry.delays, [100, 2000]);
}

#[test]
fn everything_wrong_is_said_at_once_with_its_place() {
    let toml = "\
[server]
lisen = '127.0.0.1:1'
drain_ms = 'soon'

[retry]
delays = ['5s', 'later']

[deliver]
timeout_ms = 1
";
    let variables = [
        ("HOOKFAST_DELIVERY__IN_FLIGHT_MAX", "0"),
        ("HOOKFAST_SERVER_DRAIN_MS", "5"),
        ("HOOKFAST_URL", "http://elsewhere"),
        ("UNRELATED", "x"),
    ];
    let found = faults(toml, &variables);
    let wanted = [
        "FILE:2: server.lisen: unknown key, did you mean server.listen?",
        "FILE:3: server.drain_ms: expected a duration from 0ms to 10m (`250ms`, `5s`, `5m`, `2h`; a plain number is ms), \
         found `soon`",
        "FILE:6: retry.delays: expected a list of at most 50 durations up to 7d (`[\"100ms\", \"5s\"]`, in the \
         environment `100ms,5s`), found [5s, later]",
        "FILE:8: deliver: unknown section, did you mean [delivery]?",
        "HOOKFAST_DELIVERY__IN_FLIGHT_MAX: delivery.in_flight_max: expected a whole number from 1 to 65536, found `0`",
        "HOOKFAST_SERVER_DRAIN_MS: unknown variable, did you mean HOOKFAST_SERVER__DRAIN_MS?",
    ];
    for line in wanted {
        assert!(found.iter().any(|fault| fault == line), "missing: {line}\nfound: {found:#?}");
    }
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
}

#[test]
fn a_part_that_nobody_gave_follows_its_whole() {
    let small = env(&[("HOOKFAST_DELIVERY__TIMEOUT_MS", "1s"), ("HOOKFAST_DELIVERY__IN_FLIGHT_MAX", "8")]);
    let delivery = load_from(&ConfigArgs::default(), &[], small).unwrap().delivery;
    assert_eq!((delivery.connect_timeout_ms, delivery.in_flight_per_endpoint_max), (1_000, 8));
    let large = env(&[("HOOKFAST_DELIVERY__TIMEOUT_MS", "20s")]);
    assert_eq!(load_from(&ConfigArgs::default(), &[], large).unwrap().delivery.connect_timeout_ms, 5_000);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let found = faults("[delivery]\nin_flight_per_endpoint_max = 64\nin_flight_max = 8\n", &[]);
    assert_eq!(
        found,
        ["FILE:2: delivery.in_flight_per_endpoint_max: expected at most delivery.in_flight_max (8), found 64"]
    );
}

#[test]
fn what_is_not_toml_or_in_the_wrong_place_is_refused() {
    assert!(faults("[server\nlisten = 1", &[])[0].starts_with("FILE:1: not TOML: "));
    assert_eq!(
        faults("listen = '127.0.0.1:1'", &[]),
        ["FILE:1: listen: expected a section; did you mean listen under [server]?"]
    );
    assert_eq!(
        faults("[server]\n[server.listen]\nx = 1", &[]),
        ["FILE:2: server.listen: expected a value, found a table"]
    );
    assert_eq!(
        faults("[server]\njwt_secret = 'x'", &[]),
        ["FILE:2: server.jwt_secret: unknown key, did you mean auth.jwt_secret?"]
    );
    let missing = ConfigArgs { config: Some("no/such/file.toml".into()), ..ConfigArgs::default() };
    let found = load_from(&missing, &[], Vec::new()).unwrap_err();
    assert!(found[0].to_string().starts_with("no/such/file.toml: the file cannot be read: "));
}

/// Whether the schema of a key has room for a plain value.
fn allows(schema: &serde_json::Value, value: &serde_json::Value) -> bool {
    let any_of = schema["anyOf"].as_array().is_some_and(|branches| branches.iter().any(|one| allows(one, value)));
    let word = schema["enum"].as_array().is_some_and(|words| words.contains(value));
    let bound = |name: &str| schema[name].as_f64();
    let is_number = match schema["type"].as_str() {
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        _ => false,
    };
    let in_range = value.as_f64().is_some_and(|number| {
        bound("minimum").is_none_or(|least| number >= least) && bound("maximum").is_none_or(|most| number <= most)
    });
    any_of || word || (schema["type"] == "boolean" && value.is_boolean()) || (is_number && in_range)
}

#[test]
fn every_key_refuses_what_is_not_of_its_kind_all_at_once_each_with_its_line() {
    let plain = ["true", "-1", "1.5", "1e300", "999999999999999999"];
    let never = ["{ x = 1 }", "1979-05-27", "[{ x = 1 }]", "[['a']]"];
    for wrong in plain.into_iter().chain(never) {
        let mut toml = String::new();
        let mut wanted = Vec::new();
        for (section, _) in keys::SECTIONS {
            toml += &format!("[{section}]\n");
            for key in keys().iter().filter(|key| key.section == *section) {
                let value = serde_json::from_str(wrong).ok().filter(|value: &serde_json::Value| !value.is_array());
                if value.is_some_and(|value| allows(&(key.schema)(), &value)) {
                    continue;
                }
                toml += &format!("{} = {wrong}\n", key.name);
                wanted.push(format!("FILE:{}: {}: expected ", toml.lines().count(), key.path()));
            }
        }
        let found = faults(&toml, &[]);
        for start in &wanted {
            let count = found.iter().filter(|fault| fault.starts_with(start) && fault.contains(", found ")).count();
            assert_eq!(count, 1, "{wrong}: {start}\n{found:#?}");
        }
        assert!(wanted.len() > 60, "{wrong}: {}", wanted.len());
    }
}

#[test]
fn every_key_with_a_unit_refuses_a_wrong_one_from_each_source() {
    let of_unit = |key: &keys::Key| {
        let schema = (key.schema)().to_string();
        schema.contains("(ms|s|m|h|d)") || schema.contains("KiB")
    };
    let all: Vec<_> = keys().into_iter().filter(of_unit).collect();
    assert!(all.len() > 20, "{}", all.len());
    for key in all {
        for wrong in ["5 parsecs", "5S", "1MB", "-5s", "1.5s", "s", "5s5", "٣s", "99999999999999999999"] {
            let (variable, list) = (key.variable(), format!("[{}]\n{} = ['{wrong}']", key.section, key.name));
            let text = format!("[{}]\n{} = '{wrong}'", key.section, key.name);
            let at = format!("{}: expected {}, found ", key.path(), key.expected);
            assert!(faults("", &[(&variable, wrong)]).contains(&format!("{variable}: {at}`{wrong}`")), "{wrong}");
            assert!(faults(&text, &[]).contains(&format!("FILE:2: {at}`{wrong}`")), "{text}");
            assert!(faults(&list, &[]).contains(&format!("FILE:2: {at}[{wrong}]")), "{list}");
        }
    }
}

#[test]
fn secrets_are_never_printed() {
    let found = faults("[auth]\njwt_secret = 'hunter2'\n[store]\nsecret_key = 'hunter2'", &[]);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|fault| !fault.contains("hunter2") && fault.contains("not shown")), "{found:?}");
    let args = ConfigArgs { set: vec!["auth.jwt_secret=correct horse".into()], ..ConfigArgs::default() };
    let config = load_from(&args, &[], Vec::new()).unwrap();
    assert!(!format!("{config:?}").contains("horse"));
}

#[test]
fn loopback_targets_are_open_only_when_nobody_else_can_reach_the_server() {
    let config = |set: &[&str]| {
        let set = set.iter().map(|pair| (*pair).to_owned()).collect();
        load_from(&ConfigArgs { set, ..ConfigArgs::default() }, &[], Vec::new()).unwrap()
    };
    let here = "127.0.0.1:8071".parse().unwrap();
    assert!(config(&[]).may_deliver_to_loopback(here));
    assert!(!config(&[]).may_deliver_to_loopback("0.0.0.0:8071".parse().unwrap()));
    assert!(!config(&["server.public_url=https://hooks.example.com"]).may_deliver_to_loopback(here));
    assert!(!config(&["server.trusted_proxies=10.0.0.0/8"]).may_deliver_to_loopback(here));
}

#[test]
fn a_store_elsewhere_is_told_by_flag_or_environment_and_needs_no_directory() {
    let url = "postgres://u:hunter2@db.example/hooks";
    let here = load_from(&ConfigArgs::default(), &[], Vec::new()).unwrap();
    assert_eq!(here.own_dir(), Some(Path::new("./hookfast-data")));
    let args = ConfigArgs { store: Some(SecretText::new(url)), ..ConfigArgs::default() };
    let variables = env(&[("HOOKFAST_STORE__URL", url)]);
    for config in [load_from(&args, &[], Vec::new()), load_from(&ConfigArgs::default(), &[], variables)] {
        let config = config.unwrap();
        assert_eq!(config.store.url.as_ref().map(SecretText::reveal), Some(url));
        assert_eq!(config.own_dir(), None);
        assert!(!format!("{config:?}").contains("hunter2"));
    }
    let (config, values) = read(&args, &[], Vec::new()).unwrap();
    let told = show::as_toml(&show::of(&config, &values));
    assert!(told.contains("\n# data_dir = ") && told.contains("\n# url = \"***\""), "{told}");
    let named = ConfigArgs { data_dir: Some("d".into()), ..args.clone() };
    assert_eq!(load_from(&named, &[], Vec::new()).unwrap().own_dir(), Some(Path::new("d")));
    assert!(!format!("{args:?}").contains("hunter2"));
    let wrong = ConfigArgs { store: Some(SecretText::new("mysql://u:hunter2@h/db")), ..ConfigArgs::default() };
    let faults = load_from(&wrong, &[], Vec::new()).unwrap_err();
    let wanted = "--store: store.url: expected nothing, or a URL `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, found \
                  something else (not shown)";
    assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [wanted]);
}

#[test]
fn roles_can_be_split_only_where_servers_share_a_store() {
    let found = faults("[server]\nroles = ['api']", &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("perhaps sender and receiver, found `api`; only servers that share"), "{found:?}");
    let variables = env(&[("HOOKFAST_STORE__URL", "postgres://h/db"), ("HOOKFAST_SERVER__ROLES", "engine,api")]);
    let config = load_from(&ConfigArgs::default(), &[], variables).unwrap();
    assert_eq!(config.server.roles, Roles { maintenance: false, sources: false, ..Roles::STANDARD });
}

#[test]
fn every_key_has_a_meaning_and_a_name_of_its_own() {
    let keys = keys();
    for key in &keys {
        assert!(key.doc.trim().len() > 10, "{}", key.path());
        assert_eq!(keys.iter().filter(|other| other.path() == key.path()).count(), 1);
    }
}

#[test]
fn what_is_told_as_toml_reads_back_as_the_same() {
    let toml = "\
[server]
data_dir = 'a \"quoted\" dir'
connections_max = 10_000
[delivery]
timeout_ms = 1500
allow_networks = ['10.1.0.0/16', 'fd00::/8']
breaker_gap_ms_max = '45s'
[retry]
delays = ['90s', 1, '7d']
jitter = 0.25
[store]
retention_days_default = 90
";
    let first = file(toml);
    let args = |path: &std::path::Path| ConfigArgs { config: Some(path.to_owned()), ..ConfigArgs::default() };
    let (config, values) = read(&args(first.path()), &[], Vec::new()).unwrap();
    let told = show::as_toml(&show::of(&config, &values));
    let second = file(&told);
    let (again, _) = read(&args(second.path()), &[], Vec::new()).expect(&told);
    assert_eq!(format!("{config:?}"), format!("{again:?}"));
    assert!(told.contains("delays = [\"90s\", \"1ms\", \"7d\"]"), "{told}");
    assert!(told.contains("retention_days_default = 90 "), "{told}");
}

#[test]
fn every_value_is_told_with_its_origin_and_no_secret_is() {
    let file = file("\n[server]\nlisten = '127.0.0.1:1'\n[delivery]\ntimeout_ms = '1s'\n");
    let args = ConfigArgs {
        config: Some(file.path().to_owned()),
        data_dir: Some("d".into()),
        set: vec!["retry.jitter=0".into()],
        ..ConfigArgs::default()
    };
    let variables = env(&[("HOOKFAST_AUTH__JWT_SECRET", "correct horse"), ("HOOKFAST_LOG__LEVEL", "debug")]);
    let (config, values) = read(&args, &[], variables).unwrap();
    let told = show::of(&config, &values);
    let of = |key: &str| {
        let value = told.iter().find(|value| value.key == key).unwrap();
        (value.value.to_string(), value.origin.replace(file.path().to_str().unwrap(), "FILE"))
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(of("server.listen"), pair("\"127.0.0.1:1\"", "FILE:3"));
    assert_eq!(of("server.data_dir"), pair("\"d\"", "--data-dir"));
    assert_eq!(of("retry.jitter"), pair("0.0", "--set"));
    assert_eq!(of("log.level"), pair("\"debug\"", "HOOKFAST_LOG__LEVEL"));
    assert_eq!(of("auth.jwt_secret"), pair("\"***\"", "HOOKFAST_AUTH__JWT_SECRET"));
    assert_eq!(of("store.secret_key"), pair("\"\"", "default"));
    assert_eq!(of("delivery.connect_timeout_ms"), pair("\"1s\"", "default, as far as other settings let it"));
    assert_eq!(told.len(), keys().len());
    let page = show::as_toml(&told);
    assert!(page.contains("\n# jwt_secret = \"***\"") && !page.contains("horse"), "{page}");
}

#[test]
fn the_schema_describes_every_key_and_takes_its_default() {
    let schema = show::schema();
    for key in keys() {
        let property = &schema["properties"][key.section]["properties"][key.name];
        assert!(property["description"].as_str().unwrap().contains("Expected "), "{}", key.path());
        assert_eq!(property.get("default").is_none(), key.secret, "{}", key.path());
    }
    assert_eq!(schema["properties"]["server"]["additionalProperties"], false);
    assert_eq!(schema["properties"]["server"]["properties"]["threads"]["maximum"], 256);
    assert_eq!(schema["properties"]["retry"]["properties"]["delays"]["default"][1], "5m");
}

proptest! {
    #[test]
    fn no_value_of_any_key_makes_the_reading_panic(
        at: prop::sample::Index,
        value in "(postgres|redis|https?|file)?(://)?[\\PC]{0,40}|[0-9]{0,25}(ms|s|KiB|TiB|,|:)?[0-9]{0,5}",
    ) {
        let keys = keys();
        let key = at.get(&keys);
        let quoted = serde_json::to_string(&value).unwrap();
        let file = file(&format!("[{}]\n{} = {quoted}\n", key.section, key.name));
        let args = ConfigArgs { config: Some(file.path().to_owned()), ..ConfigArgs::default() };
        if let Err(faults) = load_from(&args, &[], vec![(key.variable(), value)]) {
            prop_assert!(faults.iter().all(|fault| !fault.problem.is_empty()));
        }
    }

    #[test]
    fn no_file_variable_or_flag_makes_the_reading_panic(
        text in "\\PC{0,60}",
        name in "(listen|thread[s]?|delays|[a-z]{0,6})",
        section in "(server|retry|auth|[a-z.\\[\\]]{0,8})",
        value in "('|\"|\\[|[0-9]|\\PC){0,20}",
    ) {
        for toml in [text.clone(), format!("[{section}]\n{name} = {value}\n")] {
            let file = file(&toml);
            let args = ConfigArgs {
                config: Some(file.path().to_owned()),
                set: vec![text.clone(), format!("{section}.{name}={value}")],
                ..ConfigArgs::default()
            };
            let variables = vec![(format!("HOOKFAST_{}__{}", section.to_uppercase(), name.to_uppercase()), value.clone())];
            if let Err(faults) = load_from(&args, &[], variables) {
                prop_assert!(!faults.is_empty());
            }
        }
    }
}
