//! Saving under faults: crashes, full disks, power loss, links, several writers.

use std::fs;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use diffeo::file::container::{Container, NamedTensor};
use diffeo::file::storage::{
    Disk, Entry, Fault, Generation, SimulatedDisk, Storage, check_writable, has_generation,
    load_newest, previous_path, remove_generations, write_atomic, write_generation,
};
use diffeo::{Error, ErrorKind, Result};

const OLD: &[u8] = b"the old content";
const NEW: &[u8] = b"the new content, longer";
type Write = fn(&dyn Storage, &Path, &[u8]) -> Result<()>;

fn target() -> &'static Path {
    Path::new("/runs/model")
}

/// A disk with two older generations, safely stored.
fn disk_with_old() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    write_generation(&disk, target(), b"the oldest content").unwrap();
    write_generation(&disk, target(), OLD).unwrap();
    disk
}

fn newest(disk: &SimulatedDisk) -> Vec<u8> {
    let load = |path: &Path| {
        let bytes = disk.read(path).ok_or_else(|| Error::io(path, "open", Io::NotFound.into()))?;
        let whole = [OLD, NEW].contains(&bytes.as_slice());
        if whole { Ok(bytes) } else { Err(Error::model_file("torn").at(path)) }
    };
    load_newest(target(), load).unwrap().value
}

fn temporaries(disk: &SimulatedDisk) -> usize {
    disk.paths().iter().filter(|p| p.to_string_lossy().ends_with(".tmp")).count()
}

fn operations_of(write: Write) -> u64 {
    let disk = disk_with_old();
    let before = disk.operations();
    write(&disk, target(), NEW).unwrap();
    disk.operations() - before
}

#[test]
fn c12_the_nth_operation_fails() {
    for write in [write_atomic as Write, write_generation] {
        for n in 0..operations_of(write) {
            for kind in [Io::StorageFull, Io::PermissionDenied, Io::CrossesDevices, Io::Other] {
                let disk = disk_with_old();
                disk.fail(n, Fault::Error(kind));
                let result = write(&disk, target(), NEW);
                match &result {
                    // Only the cleaning up of older temporary files may fail unseen.
                    Ok(()) => assert_eq!((n, disk.read(target()).unwrap().as_slice()), (1, NEW)),
                    Err(e) if e.to_string().contains("power loss") => {
                        assert_eq!(newest(&disk), NEW)
                    }
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::Io);
                        assert_eq!(disk.read(target()).unwrap(), OLD, "operation {n}: {e}");
                    }
                }
                assert_eq!(temporaries(&disk), 0, "operation {n}");
                write(&disk, target(), NEW).unwrap();
                assert_eq!(disk.read(target()).unwrap(), NEW);
            }
        }
    }
}

#[test]
fn c12_killed_at_any_operation() {
    for write in [write_atomic as Write, write_generation] {
        for n in 0..operations_of(write) {
            let disk = disk_with_old();
            disk.fail(n, Fault::Kill);
            assert!(write(&disk, target(), NEW).is_err());
            let disk = disk.after_kill();
            assert!([OLD, NEW].contains(&newest(&disk).as_slice()));
            write(&disk, target(), NEW).unwrap();
            assert_eq!(newest(&disk), NEW);
            assert_eq!(temporaries(&disk), 0, "what the killed process left is gone");
        }
    }
}

#[test]
fn f3_power_loss_at_any_operation() {
    for write in [write_atomic as Write, write_generation] {
        for n in 0..=operations_of(write) {
            let disk = disk_with_old();
            disk.fail(n, Fault::Kill);
            let done = write(&disk, target(), NEW).is_ok();
            for disk in disk.after_power_loss() {
                let found = newest(&disk);
                assert!(found == NEW || found == OLD && !done, "operation {n}");
            }
        }
    }
}

#[test]
fn f3_the_simulation_notices_a_missing_sync() {
    let torn = |n: u64| {
        let disk = disk_with_old();
        disk.fail(n, Fault::Lie);
        write_atomic(&disk, target(), NEW).unwrap();
        let after = disk.after_power_loss();
        after.iter().any(|d| d.read(target()).as_deref() != Some(NEW))
    };
    let count = operations_of(write_atomic);
    // The write, the sync of the file and that of the folder each matter; so does the rename.
    assert!((count - 4..count).all(torn));
}

#[test]
fn c13_a_damaged_newest_generation_gives_way_loudly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    let container = |step| Container {
        tensors: vec![NamedTensor::from_i64("step", [1], &[step])],
        ..Container::default()
    };
    for step in 1..=3 {
        write_generation(&Disk, &path, &container(step).encode().unwrap()).unwrap();
    }
    let load = || load_newest(&path, Container::read);
    let Generation { value, path: from, refused } = load().unwrap();
    assert_eq!((value, from, refused.is_none()), (container(3), path.clone(), true));

    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let fallen_back = load().unwrap();
    assert_eq!(fallen_back.value, container(2));
    assert_eq!(fallen_back.path, previous_path(&path));
    assert!(fallen_back.refused.unwrap().to_string().contains("checksum"));

    fs::remove_file(&path).unwrap();
    assert!(load().unwrap().refused.is_none(), "stopped between two renames: nothing is lost");
    fs::write(previous_path(&path), b"x").unwrap();
    assert_eq!(load().unwrap_err().kind(), ErrorKind::ModelFile);
    fs::write(&path, &bytes).unwrap();
    assert!(load().unwrap_err().to_string().contains("checksum"));
}

#[test]
fn c11_saving_over_the_file_just_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let container = Container {
        tensors: vec![NamedTensor::from_f32("w", [64, 64], &[1.5; 4096])],
        ..Container::default()
    };
    container.write(&path, &Disk).unwrap();
    let loaded = Container::read(&path).unwrap();
    loaded.write(&path, &Disk).unwrap();
    assert_eq!(loaded, container);
    assert_eq!(Container::read(&path).unwrap(), container);
}

#[test]
fn c11_readers_and_two_writers_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let container = |writer: i64, round: i64| Container {
        tensors: vec![NamedTensor::from_i64("w", [2000], &[writer * 1000 + round; 2000])],
        ..Container::default()
    };
    container(0, 0).write(&path, &Disk).unwrap();
    std::thread::scope(|scope| {
        for writer in 1..=2 {
            let path = &path;
            scope.spawn(move || {
                (0..40).for_each(|round| container(writer, round).write(path, &Disk).unwrap());
            });
        }
        scope.spawn(|| {
            for _ in 0..200 {
                let read = Container::read(&path).unwrap().tensors[0].to_i64().unwrap();
                assert!(read.iter().all(|v| *v == read[0]));
            }
        });
    });
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn c12_temporary_files_of_the_dead_are_removed_and_those_of_the_living_kept() {
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join(".diffeo-1-0.tmp");
    let alive = folder.path().join(".diffeo-2-0.tmp");
    let foreign = folder.path().join(".other.tmp");
    for path in [&dead, &alive, &foreign] {
        fs::write(path, b"x").unwrap();
    }
    let lock = fs::File::open(&alive).unwrap();
    lock.lock().unwrap();
    write_atomic(&Disk, &folder.path().join("model"), NEW).unwrap();
    assert!(!dead.exists() && alive.exists() && foreign.exists());
}

#[test]
fn c16_folders_are_refused_and_missing_folders_named() {
    let folder = tempfile::tempdir().unwrap();
    let fault = |path: &Path| write_atomic(&Disk, path, NEW).unwrap_err();
    assert!(fault(folder.path()).to_string().contains("it is a folder"));
    assert!(fault(Path::new("/")).to_string().contains("not the name of a file"));
    let missing = folder.path().join("missing/model");
    assert_eq!(fault(&missing).kind(), ErrorKind::Io);
    assert!(check_writable(&Disk, &missing).is_err());
    let fine = folder.path().join("model");
    check_writable(&Disk, &fine).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let read = Container::read(folder.path()).unwrap_err();
    assert!(read.to_string().contains("found a folder"), "{read}");
}

#[test]
fn c16_devices_and_loops_of_links_are_refused_by_any_storage() {
    let disk = SimulatedDisk::new();
    disk.place("/dev/sink", Entry::Other);
    disk.place("/dev/link", Entry::Link(PathBuf::from("sink")));
    disk.place("/a", Entry::Link(PathBuf::from("/b")));
    disk.place("/b", Entry::Link(PathBuf::from("/a")));
    for (path, what) in [("/dev/sink", "a device"), ("/dev/link", "a device"), ("/a", "a loop")] {
        let error = write_atomic(&disk, Path::new(path), NEW).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    assert!(disk.paths().is_empty());
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn c16_a_link_is_written_through_once_and_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let [link, real] = ["link", "real"].map(|n| folder.path().join(n));
        symlink("real", &link).unwrap();
        for content in [OLD, NEW] {
            write_atomic(&Disk, &link, content).unwrap();
            assert_eq!(fs::read(&real).unwrap(), content, "a dangling link names where to write");
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        }
        symlink(&link, folder.path().join("second")).unwrap();
        write_generation(&Disk, &folder.path().join("second"), OLD).unwrap();
        assert_eq!(fs::read(&real).unwrap(), OLD);
        assert_eq!(fs::read(previous_path(&real)).unwrap(), NEW);
        // What a writer leaves behind a link is found through it.
        let second = folder.path().join("second");
        let read = |path: &Path| match fs::read(path) {
            Ok(bytes) if bytes == NEW => Ok(bytes),
            _ => Err(Error::data("damaged")),
        };
        assert_eq!(load_newest(&second, read).unwrap().path, previous_path(&real));
        fs::remove_file(&real).unwrap();
        assert!(has_generation(&second));
        remove_generations(&second).unwrap();
        assert!(!has_generation(&second) && fs::symlink_metadata(&second).is_err());
        assert!(!previous_path(&real).exists());
    }

    #[test]
    fn c16_a_hard_link_keeps_the_old_content_and_permissions_stay() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["model", "other"].map(|n| folder.path().join(n));
        fs::write(&path, OLD).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::hard_link(&path, &other).unwrap();
        write_atomic(&Disk, &path, NEW).unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), fs::read(&other).unwrap()),
            (NEW.to_vec(), OLD.to_vec())
        );
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn c16_devices_and_sockets_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [Path::new("/dev/null"), &socket] {
            assert!(write_atomic(&Disk, path, NEW).unwrap_err().to_string().contains("a device"));
            assert!(Container::read(path).unwrap_err().to_string().contains("a device"));
        }
    }

    #[test]
    fn c16_a_link_planted_at_the_temporary_name_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, OLD).unwrap();
        for n in 0..1000 {
            let name = format!(".diffeo-{:x}-{n:x}.tmp", std::process::id());
            symlink(&victim, folder.path().join(name)).unwrap();
        }
        let error = write_atomic(&Disk, &folder.path().join("model"), NEW).unwrap_err();
        assert!(error.to_string().contains("temporary"), "{error}");
        assert_eq!(fs::read(&victim).unwrap(), OLD);
    }
}
