//! What explains that the library looks otherwise than before.

use std::collections::VecDeque;

use zotify_plugin_api::prelude::*;

use super::{
    List, Part, Place,
    heads::{Change, Head},
    holes, read,
};
use crate::client::Session;

/// How a list differs from what an earlier run saw of it.
pub(super) struct Difference {
    pub change: Change,
    /// What was seen.
    pub old: Head,
    /// Rows that were empty then, and are still.
    pub holes: Vec<Skipped>,
}

/// What changed in each list, if additions and what fits on a page explain all of it.
pub(super) async fn find(
    session: &mut Session,
    old: &[(List, Head)],
    firsts: &[(List, Part)],
    heads: &[Head],
) -> Result<Option<VecDeque<Difference>>> {
    let mut differences = VecDeque::new();
    for ((list, part), head) in firsts.iter().zip(heads) {
        let Some((_, old)) = old.iter().find(|(name, _)| name == list) else { return Ok(None) };
        let mut change = old.compare(*list, head, &part.rows);
        if let Some(Change::Added(count)) = change
            && *list != List::Artists
            && !old.starts_within(count, &part.rows)
        {
            // The row that was the first one is on a later page.
            let later = read(session, *list, Some(&Place::Offset(count))).await?;
            change = old.starts(*list, &later.rows).then_some(Change::Added(count));
        }
        let Some(change) = change else { return Ok(None) };
        let Some(holes) = holes::still_there(session, *list, old, part, head.total).await? else { return Ok(None) };
        differences.push_back(Difference { change, old: old.clone(), holes });
    }
    Ok(Some(differences))
}
