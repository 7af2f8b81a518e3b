//! KEDA's `cron` triggers: floors by the clock.

use crate::cli::import::keda::Trigger;
use crate::cli::import::notes::{Notes, Refusal};
use crate::cli::import::options::Options;
use crate::policy::Replicas;
use crate::policy::schedule::{Cron, ScheduleSpec, Zone};

/// The trigger at a dotted path as a schedule; `None` where it asks for nothing. `fallback` is its name unless it has
/// one, and `most` the object's largest size.
pub(super) fn map(
    trigger: &Trigger,
    path: &str,
    fallback: String,
    most: Replicas,
    notes: &mut Notes,
) -> Result<Option<ScheduleSpec>, Refusal> {
    let mut options = Options::of(trigger, path);
    let start = expression(&mut options, "start")?;
    let end = expression(&mut options, "end")?;
    let zone = options.required("timezone")?;
    let time_zone: Zone = zone.parse().map_err(|_| {
        Refusal::new(options.at("timezone"), "not the IANA name of a time zone, such as Europe/Berlin")
    })?;
    let text = options.required("desiredReplicas")?;
    let wanted: u32 = text
        .parse()
        .map_err(|_| Refusal::new(options.at("desiredReplicas"), "expected a whole number of replicas"))?;
    if start == end {
        return Err(Refusal::new(options.at("end"), "the same as `start`, which KEDA refuses too"));
    }
    if wanted == 0 {
        notes.note(options.at("desiredReplicas"), "a floor of 0 asks for nothing: no schedule");
        return Ok(None);
    }
    let min_replicas = Replicas(wanted).min(most);
    if min_replicas.0 < wanted {
        notes.note(options.at("desiredReplicas"), "lowered to maxReplicas, as an HPA would");
    }
    notes.note(path, "a schedule: replicas are asked for early enough to be there when it starts");
    options.tell_rest(notes);
    let name = trigger.name.clone().filter(|name| crate::policy::schedule::is_name(name)).unwrap_or(fallback);
    Ok(Some(ScheduleSpec { name, time_zone, start, end: Some(end), duration: None, min_replicas }))
}

fn expression(options: &mut Options<'_>, name: &str) -> Result<Cron, Refusal> {
    let text = options.required(name)?;
    text.parse().map_err(|_| {
        let text = "not five fields as Linux has them: minute, hour, day of month, month, day of week";
        Refusal::new(options.at(name), text)
    })
}
