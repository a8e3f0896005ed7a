//! Following instances from one list to the next.

use std::collections::HashMap;

use super::Track;
use crate::observed::Instance;

/// How far ahead an instance is looked for in the list before, where it is not the next one there.
const AHEAD: usize = 32;

/// For each instance of a list, the place of its track. Lists mostly come in one order, with a few instances more or fewer:
/// then both are walked once, side by side. What is not found so is looked up.
pub(super) fn places(tracks: &[Track], instances: &[Instance]) -> Vec<Option<usize>> {
    let mut places = vec![None; instances.len()];
    let mut strays = Vec::new();
    let mut next = 0;
    for (index, instance) in instances.iter().enumerate() {
        match tracks[next..].iter().take(AHEAD).position(|it| it.is_of(instance)) {
            Some(ahead) => {
                places[index] = Some(next + ahead);
                next += ahead + 1;
            }
            None => strays.push(index),
        }
    }
    let placed = instances.len() - strays.len();
    if strays.is_empty() || placed == tracks.len() {
        return places;
    }
    let mut left = vec![true; tracks.len()];
    places.iter().flatten().for_each(|place| left[*place] = false);
    let left: HashMap<&str, usize> = tracks
        .iter()
        .enumerate()
        .filter(|(place, _)| left[*place])
        .map(|(place, it)| (it.id.as_str(), place))
        .collect();
    for index in strays {
        let place = left.get(instances[index].id.as_str()).copied();
        places[index] = place.filter(|place| tracks[*place].is_of(&instances[index]));
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::observed::InstanceState;
    use crate::tags::Tags;
    use crate::time::Timestamp;

    fn instance(id: u16) -> Instance {
        Instance {
            id: id.to_string(),
            name: format!("name-{id}"),
            logical_id: None,
            state: InstanceState::Running,
            message: String::new(),
            created_at_ms: None,
            addresses: Vec::new(),
            tags: Tags::new(),
            properties: None,
        }
    }

    proptest! {
        /// Whatever was added, taken away or moved: each instance finds its own track, and none finds another's.
        #[test]
        fn every_instance_finds_its_track(
            before in prop::collection::btree_set(0u16..200, 0..120),
            after in prop::collection::hash_set(0u16..200, 0..120),
        ) {
            let tracks: Vec<Track> = before.iter().map(|id| Track::new(&instance(*id), None, Timestamp(1))).collect();
            let instances: Vec<Instance> = after.iter().map(|id| instance(*id)).collect();
            let places = places(&tracks, &instances);
            for (instance, place) in instances.iter().zip(&places) {
                let expected = tracks.iter().position(|it| it.id == instance.id);
                prop_assert_eq!(*place, expected);
            }
        }
    }

    #[test]
    fn an_id_that_is_used_again_is_another_instance() {
        let old = Track::new(&instance(1), None, Timestamp(1));
        let again = Instance { name: "another".into(), ..instance(1) };
        assert_eq!(places(&[old], &[again]), [None]);
    }
}
