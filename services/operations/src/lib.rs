//! The operator's desk: routes under `/admin/` that show where everything stands and set right what stopped.
//!
//! * `GET /admin/positions`: per topic, partition and reader: end, applied, lag; digests of views;
//! * `GET /admin/parked`, `GET /admin/parked/{topic}/{partition}/{offset}`, `POST /admin/parked`: what workers rejected;
//! * `GET /admin/views/rejects`: what the views left out;
//! * `GET /admin/access/explain`, `GET /admin/access/who`: why somebody sees a project, and who does;
//! * `POST /admin/blobs/sweep`: blobs that no record names go;
//! * `POST /admin/views/graph/replay`: the view of this process reads the log again;
//! * `POST /admin/rebuild`, `GET /admin/campaigns/{id}`: graphs made again from git.
//!
//! It stands in every process that has the bus. It keeps nothing: all of it is in the log and the views.

mod access;
mod campaigns;
mod desk;
mod parked;
mod parked_routes;
mod positions;
mod refusal;
mod rejects;
mod replay;
mod sweep;
mod sweep_route;

pub use access::{Audience, Explanation};
pub use bus::worker::ResolvedHeaders;
pub use campaigns::{CampaignStarted, Progress, RebuildOf};
pub use desk::Operations;
pub use parked::{Filter, NotAParkedId, ParkedId, ParkedRecord, ParkedSummary};
pub use parked_routes::{Resolution, Resolve, Resolved};
pub use positions::{Positions, ReaderPosition};
pub use rejects::Reject;
pub use replay::{AskReplay, ReplayGoal, ReplayStarted};
pub use sweep::{Sweep, SweepError, Swept, sweep_age};
