//! A file that is rotated by size: `PATH`, then `PATH.1` (the newest of the old) to `PATH.keep`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::policy::settings::JournalFile;

/// An append-only file that never holds a part of a line that was written here.
#[derive(Debug)]
pub(super) struct RotatedFile {
    settings: JournalFile,
    /// `None` after a failure to open it again.
    file: Option<File>,
    length: u64,
}

impl RotatedFile {
    pub(super) fn open(settings: &JournalFile) -> io::Result<Self> {
        let mut rotated = Self { settings: settings.clone(), file: None, length: 0 };
        rotated.reopen()?;
        Ok(rotated)
    }

    /// Whether `text` belongs into a new file. An empty file takes a text of any size.
    pub(super) fn is_full_with(&self, text: &[u8]) -> bool {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.length > 0 && self.length.saturating_add(length) > self.settings.max_bytes
    }

    /// Appends all of `text` or, as far as the disk lets us, nothing of it.
    pub(super) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.reopen()?;
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(error) = file.write_all(text) {
            // Where even this fails, `reopen` ends the torn line.
            if file.set_len(self.length).is_err() {
                self.file = None;
            }
            return Err(error);
        }
        self.length = self.length.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Moves the old files up by one, the oldest out, and begins a new one.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        for number in (0..self.settings.keep).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        if self.settings.keep == 0 {
            fs::remove_file(&self.settings.path)?;
        }
        self.reopen()
    }

    fn reopen(&mut self) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(&self.settings.path)?;
        if ends_torn(&mut file)? {
            file.write_all(b"\n")?;
        }
        self.length = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = OsString::from(&self.settings.path);
        if number > 0 {
            path.push(format!(".{number}"));
        }
        path.into()
    }
}

/// Whether the last line has no end: the process or the machine died while it was written.
fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
