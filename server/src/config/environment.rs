//! Variables that are named like options and are none: a typing mistake must not pass for a setting.
//!
//! They are told in the log and refused by nobody: container runtimes set variables after the names of services, so that
//! one called `ebla` has `EBLA_PORT_…` and `EBLA_SERVICE_…` in its environment. Values are never shown.

use clap::Args as _;
use ebla_storage::repository::KEY_VARIABLE;

use super::Options;

/// What every variable of this program begins with.
const PREFIX: &str = "EBLA_";

/// Variables that mean something and are no options of a server, beside [`KEY_VARIABLE`].
const OTHERS: [&str; 2] = ["EBLA_CONFIG", "EBLA_ROOT_PASSWORD"];

/// Beginnings of names that container runtimes give, or that tests do.
const FOREIGN: [&str; 3] = ["EBLA_PORT", "EBLA_SERVICE_", "EBLA_TEST_"];

/// Those of the variables that are named as options are and that nothing reads, in the order of their names.
pub fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let command = Options::augment_args(clap::Command::new("serve"));
    let options: Vec<&str> = command.get_arguments().filter_map(|option| option.get_env()?.to_str()).collect();
    let is_known = |name: &str| {
        options.contains(&name)
            || OTHERS.contains(&name)
            || name == KEY_VARIABLE
            || FOREIGN.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut unknown: Vec<String> =
        names.into_iter().filter(|name| name.starts_with(PREFIX) && !is_known(name)).collect();
    unknown.sort();
    unknown
}

/// Tells of the variables of this process that [`unknown_variables`] finds.
pub fn warn_of_unknown_variables() {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in unknown_variables(names) {
        tracing::warn!(
            variable = name,
            "the environment sets what is no option of this server: it has no effect; `ebla serve --help` lists them all"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_nothing_reads_is_found() {
        let names = [
            "EBLA_MAX_CONECTIONS",
            "EBLA_MAX_CONNECTIONS",
            "EBLA_DATA_DIR",
            "EBLA_CONFIG",
            "EBLA_ROOT_PASSWORD",
            "EBLA_SECRET_KEY",
            "EBLA_SERVICE_HOST",
            "EBLA_PORT_9030_TCP_ADDR",
            "EBLA_TEST_CRASH",
            "HOME",
            "EBLA_",
        ];
        let unknown = unknown_variables(names.map(str::to_owned));
        assert_eq!(unknown, ["EBLA_", "EBLA_MAX_CONECTIONS"]);
    }
}
