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
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            _ => {
                return Err(format!(
                    "{}: {key} must be a string, a whole number or a boolean",
                    path.display()
                ));
            }
        };
        let is_key =
            |arg: &Arg| arg.get_long() == Some(&key) && key != "config" && arg.get_env().is_some();
        let Some(id) =
            command.get_arguments().find(|arg| is_key(arg)).map(|arg| arg.get_id().clone())
        else {
            return Err(format!("{}: there is no flag --{key}", path.display()));
        };
        let set = |command: Command| command.mut_arg(&id, |arg| arg.default_value(value.clone()));
        command = set(command).mut_subcommand("serve", set);
    }
    Ok(command)
}
