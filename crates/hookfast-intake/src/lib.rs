//! Intake: the one road in. Checks what a source hands over, waits for admission, and makes the event durable
//! through the store's port. Knows neither SQL nor HTTP, and nothing of where events come from.

mod check;
mod direct;
mod metrics;

pub use direct::{DirectIntake, IntakeConfig};
pub use metrics::Metrics;
