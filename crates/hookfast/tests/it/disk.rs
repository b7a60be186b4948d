//! File systems of a test's own, to cut their power or to fill them. What was mounted is unmounted again, also when
//! the test fails. It knows no server.

use hookfast_testkit::skip;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Waits for a line, then stops every write of a file system at once, its journal included: what was not synced before
/// is gone (`EXT4_IOC_SHUTDOWN`, flag `NOLOGFLUSH`).
const CUT: &str = "import fcntl,os,struct,sys;f=os.open(sys.argv[1],os.O_RDONLY);print('ready',flush=True);\
sys.stdin.readline();fcntl.ioctl(f,0x8004587D,struct.pack('I',2))";

/// A mounted file system below a temporary directory. Dropping it unmounts it.
pub(crate) struct Disk {
    dir: TempDir,
    mounted: bool,
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {} {said}", output.status)) }
}

impl Disk {
    /// An ext4 on a loop device that writes nothing by itself. `None`, and the test is skipped, where none can be had.
    pub(crate) fn ext4(mib: u64) -> Option<Self> {
        let mut disk = Self { dir: tempfile::tempdir().unwrap(), mounted: false };
        std::fs::create_dir(disk.path()).unwrap();
        File::create(disk.image()).unwrap().set_len(mib << 20).unwrap();
        let made = run("mkfs.ext4", &["-qF", disk.image().to_str().unwrap()]).and_then(|()| disk.mount_image());
        // Whether power can be cut shows only when it is: first on an empty disk.
        let ready = made
            .and_then(|()| disk.try_switch()?.try_off())
            .and_then(|()| disk.unmount())
            .and_then(|()| disk.mount_image());
        said(ready, "no power cut here").then_some(disk)
    }

    /// A file system in memory of a fixed size. `None`, and the test is skipped, where none can be had.
    pub(crate) fn tmpfs(mib: u64) -> Option<Self> {
        let mut disk = Self { dir: tempfile::tempdir().unwrap(), mounted: false };
        std::fs::create_dir(disk.path()).unwrap();
        let size = format!("size={mib}m");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", disk.path().to_str().unwrap()]);
        disk.mounted = mounted.is_ok();
        said(mounted, "no disk of its own to fill here").then_some(disk)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("m")
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn mount_image(&mut self) -> Result<(), String> {
        let (image, path) = (self.image(), self.path());
        run("mount", &["-o", "loop,commit=600", image.to_str().unwrap(), path.to_str().unwrap()])?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        run("umount", &[self.path().to_str().unwrap()])?;
        self.mounted = false;
        Ok(())
    }

    /// Gets ready to cut its power, so that the cut itself takes no time.
    pub(crate) fn switch(&self) -> Switch {
        self.try_switch().unwrap()
    }

    fn try_switch(&self) -> Result<Switch, String> {
        let mut command = Command::new("python3");
        command.args(["-c", CUT]).arg(self.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("python3: {error}"))?;
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        if read.is_ok() && line == "ready\n" { Ok(Switch(child)) } else { Err(format!("python3 said {line:?}")) }
    }

    /// Mounts what had reached the disk. Nobody may use it any more.
    pub(crate) fn power_on(&mut self) {
        self.unmount().unwrap();
        self.mount_image().unwrap();
    }

    /// Takes `bytes` of its space, or all that is left.
    pub(crate) fn fill(&self, bytes: Option<u64>) -> Filler {
        let filler = Filler(self.path().join("filler"));
        let mut file = File::options().create(true).append(true).open(&filler.0).unwrap();
        let mut left = bytes.unwrap_or(u64::MAX);
        let mut step = 1 << 20;
        while left > 0 && step > 0 {
            let length = left.min(step);
            match file.write(&vec![0; usize::try_from(length).unwrap()]) {
                Ok(written) => left -= written as u64,
                Err(error) if error.kind() == ErrorKind::StorageFull => step /= 2,
                Err(error) => panic!("fill {}: {error}", filler.0.display()),
            }
        }
        filler
    }
}

/// Cuts the power of a disk. From then on nothing reaches it; it needs [`Disk::power_on`].
pub(crate) struct Switch(Child);

impl Switch {
    pub(crate) fn off(self) {
        self.try_off().unwrap();
    }

    fn try_off(mut self) -> Result<(), String> {
        drop(self.0.stdin.take());
        let status = self.0.wait().map_err(|error| format!("python3: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("the shutdown of the file system: {status}")) }
    }
}

impl Drop for Switch {
    /// One that was not used holds its disk.
    fn drop(&mut self) {
        if self.0.stdin.is_some() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// What takes the space, until it is told to go.
pub(crate) struct Filler(PathBuf);

impl Filler {
    pub(crate) fn remove(self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn said(had: Result<(), String>, what: &str) -> bool {
    if let Err(error) = &had {
        skip(&format!("{what}: {error}"));
    }
    had.is_ok()
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A server that was killed a moment ago may still have its files open.
        for _ in 0..100 {
            if !self.mounted || self.unmount().is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // It goes as soon as nobody uses it any more.
        let _ = run("umount", &["--lazy", self.path().to_str().unwrap_or_default()]);
    }
}

/// Is this program there?
pub(crate) fn has_program(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| Path::join(&dir, program).is_file()))
}
