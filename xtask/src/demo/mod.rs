//! `make demo`: the whole way from a `git push` to an answer, on this machine.

mod queries;
mod stack;
mod stages;
mod story;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use stack::Stack;

/// `xtask demo`
#[derive(Debug, Args)]
pub struct Options {
    /// End after the story is told, instead of staying up.
    #[arg(long)]
    exit: bool,
    /// What the records go through.
    #[arg(long, value_enum, default_value_t)]
    bus: Bus,
}

/// The bus of the demonstration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Bus {
    /// The log in the data folder.
    #[default]
    Embedded,
    /// A broker of Apache Kafka on this machine.
    Kafka,
}

/// Starts the stack, pushes every example, tells what the graph knows then.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let stack = Stack::start(root, options.bus)?;
    let told = story::tell(root, &stack);
    match told {
        Ok(()) if options.exit => Ok(()),
        Ok(()) => {
            println!(
                "\nThe system stays up. Ctrl-C ends it; its log is {}",
                stack.log().display()
            );
            wait_for_a_signal();
            println!("\nstopping …");
            Ok(())
        }
        Err(error) => {
            // What went wrong is in there.
            eprintln!("--- the end of {}", stack.log().display());
            eprintln!("{}", stack.end_of_log());
            Err(error)
        }
    }
}

/// Ctrl-C goes to the whole group of processes: the children stop by themselves, and so the wait ends when they have.
fn wait_for_a_signal() {
    static STOPPED: AtomicBool = AtomicBool::new(false);
    let _ = ctrlc::set_handler(|| STOPPED.store(true, Ordering::SeqCst));
    while !STOPPED.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(200));
    }
}
