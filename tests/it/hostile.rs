//! The corpora of the fuzz targets, in which lies all that they ever found.

use std::fs;

use tests::hostile::{TARGETS, repository};

#[test]
fn no_input_of_the_corpora_breaks_anything() {
    for (name, target) in TARGETS {
        let folder = repository().join("tests/fuzz/corpus").join(name);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut count = 0;
        for file in files {
            let path = file.expect("a file").path();
            // Said before, for a panic says nothing of it.
            eprintln!("{}", path.display());
            target(&fs::read(&path).expect("readable"));
            count += 1;
        }
        assert!(count > 5, "{name}: {count} inputs");
    }
}
