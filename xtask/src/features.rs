//! With which features the workspace is checked and tested: all that the container image has. The default build lacks
//! some of them, so that it needs nothing but a C compiler.

/// The members that have such features, and these.
const FEATURES: [(&str, &str); 2] = [("hookfast", "hookfast/kafka"), ("hookfast-log", "hookfast-log/kafka")];
/// What `cargo` builds at the root when no package is named.
const DEFAULT: &str = "hookfast";

/// For `--features` of a command that is about the whole workspace.
pub(crate) fn of_workspace() -> String {
    list(|_| true)
}

/// For `--features` of `cargo test` with these arguments: a feature of a package that is not selected is an error.
pub(crate) fn of_selection(args: &[String]) -> String {
    let own = || args.iter().map(String::as_str).take_while(|arg| *arg != "--");
    if own().any(|arg| matches!(arg, "--workspace" | "--all")) {
        return of_workspace();
    }
    let named = |package: &str| {
        let after = own().zip(own().skip(1));
        let mut apart = after.filter(|(option, _)| matches!(*option, "-p" | "--package")).map(|(_, name)| name);
        apart.any(|name| name == package) || own().any(|arg| arg.strip_prefix("--package=") == Some(package))
    };
    let some = own().any(|arg| matches!(arg, "-p" | "--package") || arg.starts_with("--package="));
    list(|package| if some { named(package) } else { package == DEFAULT })
}

fn list(selected: impl Fn(&str) -> bool) -> String {
    let features = FEATURES.iter().filter(|(package, _)| selected(package)).map(|(_, feature)| *feature);
    features.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_features_of_selected_packages_are_asked_for() {
        let of = |args: &str| of_selection(&args.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("--workspace"), "hookfast/kafka,hookfast-log/kafka");
        assert_eq!(of("-p hookfast-log some_test"), "hookfast-log/kafka");
        assert_eq!(of("-p hookfast-store"), "");
        assert_eq!(of("--package=hookfast -p hookfast-store -- -p hookfast-log"), "hookfast/kafka");
        assert_eq!(of("some_test"), "hookfast/kafka");
    }
}
