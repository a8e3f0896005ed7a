//! The `homeostat` command: the tree of verbs, and who does what.

mod args;
mod client;
mod direct;
mod events;
mod failure;
mod flavor;
mod group;
mod input;
mod instance;
mod out;
mod plugin;
mod render;
mod screen;
mod serve;
mod signals;
mod state;
mod up;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use args::Globals;

/// Calls of plugins allocate much and for a short time, on several threads; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keep groups of instances as they were declared
///
/// A host keeps each group as its spec says: it makes what is missing, removes what is too much, replaces what broke, and
/// rolls out what changed. Sandboxed plugins do the work: an instance plugin makes instances, a flavor plugin says what
/// runs on them.
#[derive(Parser)]
#[command(version, max_term_width = 110, after_long_help = ROOT_HELP, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

const ROOT_HELP: &str = "\
Examples:
  Run a stack in this terminal until Ctrl-C:
    homeostat up stack.json

  Run a host in the background, and talk to it:
    homeostat serve &
    homeostat plugin add instance-file instance_file.wasm --allow-dir ./machines:/instances:rw
    homeostat plugin add flavor-vanilla flavor_vanilla.wasm
    homeostat group plan web.json
    homeostat group commit web.json --wait
    homeostat group ls

  Try a plugin by hand, without a host:
    homeostat instance validate ./instance_file.wasm '{\"Note\": \"hello\"}'

Exit status:
  0  done
  1  refused or failed
  2  the command line is wrong
  3  no host answers";

#[derive(Subcommand)]
enum Command {
    Up(up::Up),
    Serve(serve::Serve),
    /// Plan, commit, show, scale, roll out, free and destroy groups
    #[command(subcommand, visible_alias = "groups")]
    Group(group::Verb),
    Events(events::Events),
    /// Register, show and remove plugins
    #[command(subcommand, visible_alias = "plugins")]
    Plugin(plugin::Verb),
    /// Export, import and check what a stopped host remembers
    #[command(subcommand)]
    State(state::Verb),
    /// Call an instance plugin by hand
    ///
    /// PLUGIN is the name of a plugin registered with the running host; or the path of a .wasm file, which is loaded by
    /// this command itself, without a host; or, with --stack, a name in that stack's "Plugins", also without a host.
    #[command(subcommand)]
    Instance(instance::Verb),
    /// Call a flavor plugin by hand
    ///
    /// PLUGIN is the name of a plugin registered with the running host; or the path of a .wasm file, which is loaded by
    /// this command itself, without a host; or, with --stack, a name in that stack's "Plugins", also without a host.
    #[command(subcommand)]
    Flavor(flavor::Verb),
}

impl Command {
    /// Whether this process is to be a host, with threads for many groups.
    fn is_host(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Serve(_))
    }

    /// What is logged unless the user says otherwise.
    fn log_default(&self) -> &'static str {
        if matches!(self, Self::Serve(_)) { "info" } else { "warn" }
    }

    async fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Self::Up(verb) => verb.run(globals).await,
            Self::Serve(verb) => verb.run(globals).await,
            Self::Group(verb) => verb.run(globals).await,
            Self::Events(verb) => verb.run(globals).await,
            Self::Plugin(verb) => verb.run(globals).await,
            Self::State(verb) => verb.run(globals).await,
            Self::Instance(verb) => verb.run(globals).await,
            Self::Flavor(verb) => verb.run(globals).await,
        }
    }
}

fn main() -> ExitCode {
    // First of all: there are as many of these as processes, and none needs anything of the rest.
    if let Some(code) = homeostat_process::as_supervisor(std::env::args_os()) {
        return code;
    }
    let Cli { globals, command } = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(globals.log_filter(command.log_default()))
        .with_writer(screen::LogWriter::default)
        .with_ansi(console::colors_enabled_stderr())
        // It would be reported on standard error, which is what failed.
        .log_internal_errors(false)
        .init();
    match start(&globals, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::show(&error);
            ExitCode::from(failure::code(&error))
        }
    }
}

fn start(globals: &Globals, command: Command) -> Result<()> {
    let mut builder = match command.is_host() {
        true => tokio::runtime::Builder::new_multi_thread(),
        // A client waits for one answer; starting threads for it would cost more than all the rest.
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build().context("the threads of this command cannot be started")?;
    let result = runtime.block_on(command.run(globals));
    // A plugin's thread may hang in the kernel. The process ends all the same.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(words: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(words.split(' '))
    }

    #[test]
    fn the_tree_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example() {
        fn visit(command: &clap::Command, path: &str, missing: &mut Vec<String>) {
            let path = format!("{path} {}", command.get_name());
            let leaf = !command.has_subcommands();
            let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            if leaf && command.get_name() != "help" && !help.contains("homeostat ") {
                missing.push(path.clone());
            }
            command.get_subcommands().for_each(|it| visit(it, &path, missing));
        }
        let mut missing = Vec::new();
        visit(&Cli::command(), "", &mut missing);
        assert!(missing.is_empty(), "no example in the help of {missing:?}");
    }

    #[test]
    fn global_options_may_stand_after_the_verb() {
        let cli = parse("homeostat group ls -o json --state-dir /x --log debug").unwrap();
        assert!(cli.globals.json());
        assert_eq!(cli.globals.socket().unwrap().to_str(), Some("/x/homeostat.sock"));
    }

    #[test]
    fn a_negative_size_reaches_the_host() {
        let Command::Group(group::Verb::Scale(scale)) = parse("homeostat group scale web -3").unwrap().command else {
            panic!("another verb");
        };
        assert_eq!(scale.size, Some(-3));
    }

    #[test]
    fn what_makes_no_sense_together_is_wrong_usage() {
        for words in [
            "homeostat group commit a.json --pretend --wait",
            "homeostat group apply a.plan.json --timeout 5m",
            "homeostat group protect web",
            "homeostat group rollback web --to 0",
            "homeostat group history web --limit 0",
            "homeostat events --follow --limit 0",
            "homeostat group destroy-instances web",
            "homeostat instance provision p",
            "homeostat flavor validate p {} --size 3 --logical-ids a,b",
            "homeostat group scale web three",
            "homeostat up",
        ] {
            let error = parse(words).err().unwrap_or_else(|| panic!("{words} was accepted"));
            assert_eq!(error.exit_code(), 2, "{words}");
        }
        assert_eq!(parse("homeostat group --help").err().unwrap().kind(), ErrorKind::DisplayHelp);
    }
}
