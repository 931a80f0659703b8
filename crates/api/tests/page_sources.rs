//! The committed page is the one that its sources make.

use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const MEND: &str = "run crates/api/page/build.sh and commit what it writes";

/// Digests by path, as `sha256sum` writes them.
fn noted(page: &Path) -> BTreeMap<PathBuf, String> {
    let sums = fs::read_to_string(page.join("SHA256SUMS")).expect(MEND);
    sums.lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(digest, path)| (page.join(path), digest.to_owned()))
        .collect()
}

fn present(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if name != "node_modules" {
                present(&path, found);
            }
        } else if name != "SHA256SUMS" {
            let digest = Sha256::digest(fs::read(&path).unwrap())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            found.insert(path, digest);
        }
    }
}

#[test]
fn the_built_page_matches_its_sources() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    let mut found = BTreeMap::new();
    present(&page, &mut found);
    let noted = noted(&page);
    for path in found.keys().chain(noted.keys()) {
        assert_eq!(
            found.get(path),
            noted.get(path),
            "{} has changed since the page was built: {MEND}",
            path.display()
        );
    }
}
