//! Policies in files and directories, by their contents.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// No policy file is larger: a ConfigMap cannot be.
const LARGEST: u64 = 1 << 20;

/// What the policy paths hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Every policy file's text, or why it cannot be read.
    pub files: BTreeMap<PathBuf, Result<String, String>>,
    /// Paths that cannot be looked into, in words. What is below them counts as it was before.
    pub problems: Vec<String>,
}

/// Reads all of `paths`. Looks twice and only believes two equal looks: the kubelet may be swapping
/// the directory under our hands, and half of the old beside half of the new would drop a policy that
/// only moved to another file.
pub fn read(paths: &[PathBuf], before: &Contents) -> Contents {
    let mut last = look(paths, before);
    for _ in 0..3 {
        let again = look(paths, before);
        if again == last {
            return again;
        }
        last = again;
    }
    before.clone()
}

fn look(paths: &[PathBuf], before: &Contents) -> Contents {
    let mut contents = Contents::default();
    for path in paths {
        let mut files = Files::new();
        match collect(path, &mut files) {
            Ok(()) => {}
            Err((at, error)) if error.kind() == io::ErrorKind::NotFound && at == *path => {
                contents.problems.push(format!("{}: there is no such file or directory", path.display()));
            }
            Err((at, error)) => {
                contents.problems.push(format!("{}: {error}", at.display()));
                let kept = before.files.iter().filter(|(file, _)| file.starts_with(path));
                files = kept.map(|(file, text)| (file.clone(), text.clone())).collect();
            }
        }
        contents.files.append(&mut files);
    }
    contents
}

type Files = BTreeMap<PathBuf, Result<String, String>>;
type Failure = (PathBuf, io::Error);

/// A file, or the files of a directory; not those of directories in it. Follows symbolic links: the
/// kubelet mounts every file as one.
fn collect(path: &Path, files: &mut Files) -> Result<(), Failure> {
    let failed = |error| (path.to_owned(), error);
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        return collect_file(path, files).map_err(failed);
    }
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let child = entry.map_err(failed)?.path();
        if !is_document(&child) {
            continue;
        }
        match collect_file(&child, files) {
            // Gone since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(|error| (child, error))?,
        }
    }
    Ok(())
}

/// A regular file's text, or why there is none; an error only where there is no file.
fn collect_file(path: &Path, files: &mut Files) -> io::Result<()> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() {
        match text(path, metadata.len()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            text => files.insert(path.to_owned(), text.map_err(|error| error.to_string())),
        };
    }
    Ok(())
}

fn text(path: &Path, bytes: u64) -> io::Result<String> {
    if bytes > LARGEST {
        return Err(io::Error::other("larger than 1 MiB: not a policy file"));
    }
    std::fs::read_to_string(path)
}

/// Whether a directory's entry of this name is looked into. Neither the kubelet's own names (`..data`,
/// `..2026_11_21_...`) nor other hidden ones, and only what says that it is YAML or JSON.
pub fn is_document(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let extension = path.extension().is_some_and(|extension| {
        ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    });
    extension && !hidden
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(contents: &Contents, root: &Path) -> Vec<String> {
        let relative = |file: &PathBuf| file.strip_prefix(root).unwrap().display().to_string();
        contents.files.keys().map(relative).collect()
    }

    /// A ConfigMap volume as the kubelet lays it out.
    fn publish(root: &Path, version: &str, files: &[(&str, &str)]) {
        let directory = root.join(format!("..{version}"));
        fs::create_dir(&directory).unwrap();
        for (name, text) in files {
            fs::write(directory.join(name), text).unwrap();
            let visible = root.join(name);
            if !visible.is_symlink() {
                symlink(format!("..data/{name}"), visible).unwrap();
            }
        }
        symlink(format!("..{version}"), root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    }

    #[test]
    fn a_kubelet_swap_is_seen_by_contents() {
        let root = tempfile::tempdir().unwrap();
        let paths = [root.path().to_owned()];
        publish(root.path(), "1", &[("a.yaml", "one"), ("b.yaml", "two"), ("notes.txt", "no")]);
        let first = read(&paths, &Contents::default());
        assert_eq!(names(&first, root.path()), ["a.yaml", "b.yaml"]);
        assert_eq!(read(&paths, &first), first);

        publish(root.path(), "2", &[("a.yaml", "changed"), ("c.yml", "three")]);
        let second = read(&paths, &first);
        assert_eq!(second.files.values().flatten().collect::<Vec<_>>(), ["changed", "three"]);
        assert_eq!(second.problems, Vec::<String>::new());
    }

    #[test]
    fn only_the_files_of_a_directory_itself_count() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("team.yaml")).unwrap();
        fs::write(root.path().join("team.yaml").join("deep.yaml"), "{}").unwrap();
        fs::write(root.path().join(".hidden.yaml"), "{}").unwrap();
        fs::write(root.path().join("p.json"), "{}").unwrap();
        fs::write(root.path().join("q.YAML"), "{}").unwrap();
        let contents = read(&[root.path().to_owned()], &Contents::default());
        assert_eq!(names(&contents, root.path()), ["p.json", "q.YAML"]);
        assert_eq!(contents.problems, Vec::<String>::new());
    }

    #[test]
    fn a_missing_path_is_named_and_holds_nothing() {
        let contents = read(&["/no/such/policies".into()], &Contents::default());
        assert_eq!(contents.problems, ["/no/such/policies: there is no such file or directory"]);
        assert!(contents.files.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_there_with_its_problem() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a.yaml");
        fs::write(&file, [0xff, 0xfe]).unwrap();
        let contents = read(&[root.path().to_owned()], &Contents::default());
        assert_eq!(contents.files[&file], Err("stream did not contain valid UTF-8".to_owned()));
    }
}
