//! `renkud`: the roles of the pipeline, in one process or in several. See `renkud help`.

use std::process::ExitCode;

use clap::Parser;

/// For the C libraries too: what git, SQLite and LMDB let go of is given back as well. What a query takes is counted.
#[global_allocator]
static ALLOCATOR: store::Counting<tikv_jemallocator::Jemalloc> = store::Counting(tikv_jemallocator::Jemalloc);

/// The allocator reads this as it starts. Work comes in bursts on threads that come and go: what they free goes back to the
/// system within seconds, by a thread that sleeps while there is nothing to give back. Few arenas, so that what one
/// thread freed serves the next.
#[used]
#[unsafe(export_name = "malloc_conf")]
static ALLOCATOR_SETTINGS: &[u8; 86] =
    b"background_thread:true,narenas:2,dirty_decay_ms:2000,muzzy_decay_ms:0,tcache_max:8192\0";

fn main() -> ExitCode {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    let failpoints = std::env::var("RENKU_FAILPOINTS").ok();
    renkud::main(renkud::Cli::parse(), std::env::vars(), failpoints.as_deref())
}
