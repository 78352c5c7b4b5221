//! Other programs, with what is said when they fail.

use std::path::Path;
use std::process::{Command, Stdio};

/// Why a chore ends.
#[derive(Debug)]
pub struct Failure(pub String);

/// A program to run.
#[derive(Debug)]
pub struct Run {
    command: Command,
    shown: String,
}

impl Run {
    /// A program on `PATH`, or by its path.
    pub fn new(program: &str) -> Self {
        Self { command: Command::new(program), shown: program.to_owned() }
    }

    /// With arguments.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        arguments.iter().for_each(|argument| self.shown += &format!(" {argument}"));
        self
    }

    /// With a variable in its environment.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// In a folder.
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it and shows what it says.
    pub fn done(mut self) -> Result<(), Failure> {
        eprintln!("   {}", self.shown);
        match self.command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure(format!("`{}`: {status}", self.shown))),
            Err(error) => Err(Failure(format!("`{}` cannot be started: {error}", self.shown))),
        }
    }

    /// What it prints, where it succeeds.
    pub fn output(mut self) -> Option<String> {
        let output = self.command.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
