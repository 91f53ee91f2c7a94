//! `--config FILE`: values for flags, which environment and command line override.

use std::path::Path;

use clap::{Arg, Command};

/// The command with the file's values as its flags' defaults.
pub(super) fn defaults(command: Command, path: &Path) -> Result<Command, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table: toml::Table =
        text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
    let mut command = command;
    for (key, value) in table {
        let values = match value {
            toml::Value::Array(values) => values.into_iter().map(scalar).collect(),
            value => scalar(value).map(|value| vec![value]),
        };
        let Some(values) = values else {
            return Err(format!(
                "{}: {key} must be a string, a whole number, a boolean, or an array of such",
                path.display()
            ));
        };
        let is_key =
            |arg: &Arg| arg.get_long() == Some(&key) && key != "config" && arg.get_env().is_some();
        let Some(id) =
            command.get_arguments().find(|arg| is_key(arg)).map(|arg| arg.get_id().clone())
        else {
            return Err(format!("{}: there is no flag --{key}", path.display()));
        };
        let set = |command: Command| command.mut_arg(&id, |arg| arg.default_values(values.clone()));
        command = set(command).mut_subcommand("serve", set);
    }
    Ok(command)
}

fn scalar(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}
