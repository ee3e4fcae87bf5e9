//! The end of a run: what is gone.

use std::collections::HashSet;

use zotify_plugin_api::{Kind, Listing, Result};

use super::{MAX_LOOKS, Run};
use crate::{
    folders::{Folders, Trouble},
    ids::{FileKey, GroupId},
    scan::{
        state::{Entry, Group},
        vanished::is_gone,
        walk::{Found, Look, walk},
    },
};

impl Run {
    /// When all files are read: finds out what is gone, and which albums have fewer tracks than the host knows.
    pub(super) fn sweep(&mut self) -> Result<()> {
        self.look_at_folders_again();
        if self.looks_for_others() {
            return Ok(());
        }
        self.is_swept = true;
        if self.trouble.is_some() {
            return Ok(());
        }
        for file in self.vanished.drain() {
            let folder = self.start.folders.get(file.folder);
            if folder.is_none_or(|folder| is_gone(&file.path(&folder.path))) {
                if self.state.get(&file).is_some_and(|entry| entry.is_track) {
                    self.remove(Kind::Track, &file.id())?;
                }
                self.bury(&file);
            }
        }
        self.state.set_mounts(std::mem::take(&mut self.start.walk.mounts));
        self.sweep_groups()?;
        self.forget_told();
        Ok(())
    }

    /// Whether there are files that the walk missed: what is renamed while the folders are listed may be in neither
    /// place. They are looked for before anything is said to be gone.
    fn looks_for_others(&mut self) -> bool {
        if self.trouble.is_some() || self.vanished.is_empty() || self.looks == MAX_LOOKS {
            return false;
        }
        self.looks += 1;
        let walk = walk(&self.start.folders, Look::Audio);
        self.trouble = walk.troubles.first().cloned();
        let (work, unreadable) = (&mut self.work, &self.unreadable);
        let mut add = |found: Found| {
            if !unreadable.contains(&found.key) {
                work.push_back(found);
            }
        };
        let mut files = walk.files.into_iter().peekable();
        self.state.each(|flat, entry| {
            while let Some(found) = files.next_if(|found| found.key.cmp_flat(flat).is_lt()) {
                add(found);
            }
            if let Some(found) = files.next_if(|found| found.key.cmp_flat(flat).is_eq())
                && (entry.gone || entry.stat != found.stat)
            {
                add(found);
            }
        });
        files.for_each(add);
        self.total += self.work.len();
        !self.work.is_empty()
    }

    /// A folder that was replaced or went away while it was read cannot show what is gone.
    fn look_at_folders_again(&mut self) {
        if self.trouble.is_some() {
            return;
        }
        let now = Folders::look(&self.start.settings);
        self.trouble = now.troubles.first().cloned();
        for folder in &self.start.folders.present {
            if now.get(folder.id).is_none_or(|again| again.identity != folder.identity) {
                self.trouble.get_or_insert_with(|| Trouble::missing(&folder.path));
            }
        }
    }

    /// Keeps an entry of a file that is gone, until the host surely knows.
    pub(super) fn bury(&mut self, file: &FileKey) {
        if let Some(entry) = self.state.get(file) {
            self.state.set(file, Entry { gone: true, page: self.position.next, ..entry }, self.position.next);
        }
    }

    fn remove(&mut self, kind: Kind, id: &str) -> Result<()> {
        // A run that names everything tells what is gone by not naming it.
        if self.start.listing == Listing::Changes {
            self.removed.push_back(self.start.uris.uri(kind, id)?);
        }
        Ok(())
    }

    fn sweep_groups(&mut self) -> Result<()> {
        let mut groups: Vec<(Group, u64)> = self.state.shrunk.iter().map(|(group, page)| (*group, *page)).collect();
        groups.sort_unstable();
        let mut smaller = HashSet::new();
        for (group, page) in groups {
            let is_told = page <= self.position.base;
            match group {
                _ if self.state.is_used(group) => {
                    self.state.settle(group);
                    smaller.extend(if let Group::Album(id) = group { Some(id) } else { None });
                }
                _ if is_told => self.state.settle(group),
                Group::Album(id) => self.remove(Kind::Album, &id.id())?,
                Group::Artist(id) => self.remove(Kind::Artist, &id.id())?,
            }
        }
        self.read_again(smaller);
        Ok(())
    }

    /// One track of each album that lost some is read again, to tell of the album.
    fn read_again(&mut self, mut albums: HashSet<GroupId>) {
        if albums.is_empty() {
            return;
        }
        let work = &mut self.work;
        self.state.each(|flat, entry| {
            let is_read = entry.is_present() && entry.skip.is_none();
            if let (true, Some(key)) =
                (is_read && entry.album.is_some_and(|album| albums.remove(&album)), FileKey::from_flat(flat))
            {
                work.push_back(Found { key, stat: entry.stat });
            }
        });
    }

    /// Forgets the files of which the last complete run told that they are gone.
    fn forget_told(&mut self) {
        let base = self.position.base;
        let everything = self.start.listing == Listing::Everything;
        for file in self.state.gone.clone() {
            if everything || self.state.get(&file).is_some_and(|entry| entry.page <= base) {
                self.state.forget(&file);
            }
        }
    }
}
