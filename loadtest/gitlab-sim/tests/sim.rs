//! The stand-in against real clients: the `git` program, the platform's REST client, the platform's fetching.

#[path = "sim/api.rs"]
mod api;
#[path = "sim/fetch.rs"]
mod fetch;
#[path = "sim/push.rs"]
mod push;
#[path = "sim/stage.rs"]
mod stage;
