//! The contest ([`contest`]): any trace on any plant, run by the engine, by the rules in use elsewhere
//! ([`rivals`]) and by somebody who knew all that comes ([`limit`]). The plant is a fluid, so that months take
//! seconds; what decides for us is the engine itself.

pub mod contest;
pub mod generate;
pub mod grid;
pub mod limit;
pub mod plant_file;
pub mod race;
pub mod rivals;
pub mod robustness;
pub mod scorecard;
pub mod series;
pub mod standing;
pub mod tuned;
pub mod validity;
pub mod weights;
