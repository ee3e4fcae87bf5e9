//! A buffered file reader with a budget.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

const BUFFER: usize = 16 << 10;
/// How long one file may take.
const MAX_TIME: Duration = Duration::from_secs(5);

/// Reads a file by position, so that seeking costs nothing and keeps the buffer, until its budget is used up.
pub(crate) struct Reader<'a> {
    file: &'a File,
    size: u64,
    position: u64,
    buffer: Vec<u8>,
    buffer_start: u64,
    budget: u64,
    deadline: Instant,
    /// Whether reading stopped because of the budget.
    pub exhausted: bool,
    /// Whether the system failed to read.
    pub failed: bool,
}

impl<'a> Reader<'a> {
    /// A reader that hands out at most `budget` bytes.
    pub(crate) fn new(file: &'a File, size: u64, budget: u64) -> Self {
        Self {
            file,
            size,
            position: 0,
            buffer: Vec::new(),
            buffer_start: 0,
            budget,
            deadline: Instant::now() + MAX_TIME,
            exhausted: false,
            failed: false,
        }
    }

    fn buffered(&self) -> &[u8] {
        self.position
            .checked_sub(self.buffer_start)
            .and_then(|offset| self.buffer.get(usize::try_from(offset).ok()?..))
            .unwrap_or_default()
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.resize(BUFFER, 0);
        let read = self.file.read_at(&mut self.buffer, self.position).inspect_err(|_| self.failed = true);
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        self.buffer_start = self.position;
        read.map(drop)
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.budget == 0 || Instant::now() > self.deadline {
            self.exhausted = true;
            return Err(io::Error::other("the file takes more reading than is allowed"));
        }
        let wanted = out.len().min(usize::try_from(self.budget).unwrap_or(usize::MAX));
        let read = if self.buffered().is_empty() && wanted >= BUFFER {
            self.file.read_at(&mut out[..wanted], self.position).inspect_err(|_| self.failed = true)?
        } else {
            if self.buffered().is_empty() {
                self.fill()?;
            }
            let available = self.buffered();
            let count = wanted.min(available.len());
            out[..count].copy_from_slice(&available[..count]);
            count
        };
        self.position += read as u64;
        self.budget -= read as u64;
        Ok(read)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the start"))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn reads_like_the_file_and_stops_at_the_budget() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let mut reader = Reader::new(&file, bytes.len() as u64, 150_000);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, bytes);

        let mut four = [0; 4];
        for at in [99_990, 10, 20_000, 12] {
            reader.seek(SeekFrom::Start(at)).unwrap();
            reader.read_exact(&mut four).unwrap();
            assert_eq!(four, bytes[at as usize..at as usize + 4]);
        }
        reader.seek(SeekFrom::End(-3)).unwrap();
        assert!(reader.read_exact(&mut four).is_err());
        assert!(reader.seek(SeekFrom::Current(-200_000)).is_err());
        assert!(!reader.exhausted);
        reader.seek(SeekFrom::Start(0)).unwrap();
        assert!(reader.read_to_end(&mut all).is_err());
        assert!(reader.exhausted);
    }
}
