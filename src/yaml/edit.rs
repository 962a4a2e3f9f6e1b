//! Changes to a tree by path: one value (`--set`), or a map of overrides (`baseline`).

use super::{Error, Key, Node, Path, Step, Value};

impl Node {
    /// Puts `node` at `path`, making the maps on the way that are missing. Fails where the way leads through a
    /// scalar or past the end of a list; the error is placed at `node`.
    pub fn set(&mut self, path: &Path, node: Node) -> Result<(), Error> {
        let place = node.place.clone();
        let refuse = |length: usize, why: String, hint: &str| {
            Error::new(why).hint(hint).at(&place).on(path.first(length))
        };
        let mut here = self;
        for (depth, step) in path.steps().iter().enumerate() {
            if here.value == Value::Null {
                here.value = Value::Map(Vec::new());
                here.place = place.clone();
            }
            let last = depth + 1 == path.steps().len();
            match (step, &mut here.value) {
                (Step::Key(name), Value::Map(entries)) => {
                    let position =
                        entries.iter().position(|(key, _)| key.name == *name).unwrap_or_else(|| {
                            let key = Key { name: name.clone(), place: place.clone() };
                            entries.push((key, Node { value: Value::Null, place: place.clone() }));
                            entries.len() - 1
                        });
                    let (key, child) = &mut entries[position];
                    if last {
                        // The key's place speaks for its value.
                        key.place = place.clone();
                    }
                    here = child;
                }
                (Step::Index(index), Value::Seq(items)) => {
                    let length = items.len();
                    let Some(item) = items.get_mut(*index) else {
                        let why = format!("found a list of {length} items, expected an item [{index}] in it");
                        return Err(refuse(depth, why, "items are counted from [0]"));
                    };
                    here = item;
                }
                (Step::Key(_), value) => {
                    let why = format!("found {value}, expected a map");
                    return Err(refuse(depth, why, "replace the whole of it by a map first"));
                }
                (Step::Index(_), value) => {
                    return Err(refuse(
                        depth,
                        format!("found {value}, expected a list"),
                        "set the whole list",
                    ));
                }
            }
        }
        *here = node;
        Ok(())
    }

    /// Lays the map `overlay` over this tree. Maps at the paths that `is_section` names are merged key by key;
    /// every other value is replaced whole. A key with dots or brackets is a path from where it stands.
    pub fn merge(&mut self, overlay: &Node, is_section: &dyn Fn(&Path) -> bool) -> Result<(), Error> {
        self.merge_at(overlay, &Path::default(), is_section)
    }

    fn merge_at(
        &mut self,
        overlay: &Node,
        at: &Path,
        is_section: &dyn Fn(&Path) -> bool,
    ) -> Result<(), Error> {
        let Some(entries) = overlay.entries() else {
            return Err(Error::new(format!("found {}, expected a map of overrides", overlay.value))
                .at(&overlay.place)
                .on(at.clone()));
        };
        for (key, value) in entries {
            let wrong = |why: String| Error::new(why).at(&key.place).on(at.clone());
            let relative = if key.name.contains(['.', '[']) {
                Path::parse(&key.name).map_err(wrong)?
            } else {
                Path::default().join(Step::Key(key.name.clone()))
            };
            let path = at.followed_by(&relative);
            let merges = value.entries().is_some()
                && is_section(&path)
                && self.get(&path).is_some_and(|node| node.entries().is_some());
            if merges {
                self.merge_at(value, &path, is_section)?;
            } else {
                let place = key.place.clone();
                self.set(&path, value.clone()).map_err(|error| error.at(&place))?;
                if let Some(set) = self.key_mut(&path) {
                    set.place = place;
                }
            }
        }
        Ok(())
    }

    /// The key that holds the value at a path, if a map holds it.
    fn key_mut(&mut self, path: &Path) -> Option<&mut Key> {
        let (last, way) = path.steps().split_last()?;
        let parent = way.iter().try_fold(self, |node, step| match (step, &mut node.value) {
            (Step::Key(name), Value::Map(entries)) => {
                entries.iter_mut().find(|(key, _)| key.name == *name).map(|(_, child)| child)
            }
            (Step::Index(index), Value::Seq(items)) => items.get_mut(*index),
            _ => None,
        })?;
        match (last, &mut parent.value) {
            (Step::Key(name), Value::Map(entries)) => {
                entries.iter_mut().map(|(key, _)| key).find(|key| key.name == *name)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{parse, parse_flag};

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap_or_default()
    }

    fn set(root: &mut Node, at: &str, value: &str) -> Result<(), Error> {
        root.set(&path(at), parse_flag("--set", value)?)
    }

    fn refusal(result: Result<(), Error>) -> String {
        result.map_or_else(|error| error.to_string(), |()| "accepted".to_owned())
    }

    fn at(root: &Node, at: &str) -> String {
        root.get(&path(at)).map_or("absent".to_owned(), |node| node.value.to_string())
    }

    #[test]
    fn set_makes_missing_maps_and_replaces_values() -> Result<(), Error> {
        let mut root = parse("f", "a: 1\nl: [1, {b: 2}]\ne:\n")?;
        set(&mut root, "x.y.z", "3")?;
        set(&mut root, "a", "off")?;
        set(&mut root, "l[1].b", "5")?;
        set(&mut root, "e.f", "6")?;
        assert_eq!(at(&root, "x.y.z"), "`3`");
        assert_eq!(at(&root, "a"), "the text `off`");
        assert_eq!(at(&root, "l[1].b"), "`5`");
        assert_eq!(at(&root, "e.f"), "`6`");
        Ok(())
    }

    #[test]
    fn set_goes_through_no_scalar_and_past_no_end() -> Result<(), Error> {
        let mut root = parse("f", "a: 1\nl: [1]\n")?;
        let error = refusal(set(&mut root, "a.b.c", "3"));
        assert!(error.starts_with("--set: a: found `1`, expected a map"), "{error}");
        let error = refusal(set(&mut root, "l[1]", "3"));
        assert!(error.starts_with("--set: l: found a list of 1 items"), "{error}");
        assert!(set(&mut root, "a[0]", "3").is_err());
        Ok(())
    }

    #[test]
    fn merge_goes_key_by_key_in_sections_only() -> Result<(), Error> {
        let mut root = parse("f", "s: {a: 1, b: {c: 2}}\nt: {a: 1}\n")?;
        let overlay = parse("f", "s: {b: {d: 3}}\nt: {z: 9}\n\"s.e.f\": 4\n")?;
        root.merge(&overlay, &|path| path.to_string() == "s")?;
        assert_eq!(at(&root, "s.a"), "`1`");
        assert_eq!(at(&root, "s.b.c"), "absent");
        assert_eq!(at(&root, "s.b.d"), "`3`");
        assert_eq!(at(&root, "t.a"), "absent");
        assert_eq!(at(&root, "s.e.f"), "`4`");
        Ok(())
    }
}
