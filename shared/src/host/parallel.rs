//! Chunks of slices, worked on by all threads with the feature `rayon`, else by this one.
//!
//! What a chunk computes never depends on which thread computes it, and sums over chunks are taken in
//! their order: results are the same on any number of threads.

#[cfg(feature = "rayon")]
use rayon::prelude::*;

/// Values a chunk of element-wise work holds: a few slices of this size fit a core's L2 cache.
pub const CHUNK: usize = 16 * 1024;

/// Rows of `width` values that make a chunk of about [`CHUNK`] values, at least one.
pub fn rows_per_chunk(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1)
}

/// Cuts each output into chunks of its own size and calls `work` with the index and the chunks of
/// each. All outputs must give the same number of chunks.
pub fn for_each_chunk<const N: usize>(
    outputs: [(&mut [f32], usize); N],
    work: impl Fn(usize, [&mut [f32]; N]) + Send + Sync,
) {
    let mut cut = outputs.map(|(values, size)| values.chunks_mut(size.max(1)));
    let counts = cut.each_ref().map(ExactSizeIterator::len);
    let count = counts.first().copied().unwrap_or(0);
    assert!(counts.iter().all(|other| *other == count), "unequal numbers of chunks: {counts:?}");
    let chunks: Vec<[&mut [f32]; N]> = (0..count)
        .map(|_| cut.each_mut().map(|chunks| chunks.next().expect("counted above")))
        .collect();
    #[cfg(feature = "rayon")]
    chunks.into_par_iter().enumerate().for_each(|(index, chunks)| work(index, chunks));
    #[cfg(not(feature = "rayon"))]
    chunks.into_iter().enumerate().for_each(|(index, chunks)| work(index, chunks));
}

/// What `work` makes of each of `count` chunks, in their order.
pub fn map_chunks<T: Send>(count: usize, work: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    #[cfg(feature = "rayon")]
    return (0..count).into_par_iter().map(work).collect();
    #[cfg(not(feature = "rayon"))]
    (0..count).map(work).collect()
}

/// The sums of the columns of `[rows, width]` values, row by row.
pub fn column_sums(values: &[f32], width: usize) -> Vec<f32> {
    let rows = rows_per_chunk(width);
    let mut sums = vec![0.0; values.len().div_ceil(rows * width) * width];
    for_each_chunk([(&mut sums, width)], |chunk, [sums]| {
        let start = chunk * rows * width;
        let end = (start + rows * width).min(values.len());
        pulp::Arch::new().dispatch(|| {
            for row in values[start..end].chunks_exact(width) {
                add(sums, row);
            }
        });
    });
    fold_rows(&sums, width)
}

/// The sum of the rows of `[rows, width]` values, where there are few.
pub fn fold_rows(values: &[f32], width: usize) -> Vec<f32> {
    let mut total = vec![0.0; width];
    values.chunks_exact(width).for_each(|row| add(&mut total, row));
    total
}

/// Adds `values` to `sums`, element by element.
#[inline(always)]
pub fn add(sums: &mut [f32], values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_every_value_once() {
        let (mut first, mut second) = (vec![0.0; 10], vec![0.0; 4]);
        for_each_chunk([(&mut first, 3), (&mut second, 1)], |index, [first, second]| {
            first.fill(index as f32 + 1.0);
            second.fill(first.len() as f32);
        });
        assert_eq!(first, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0]);
        assert_eq!(second, [3.0, 3.0, 3.0, 1.0]);
    }

    #[test]
    fn columns_are_summed_over_many_chunks() {
        let width = 3000;
        let values: Vec<f32> = (0..40 * width).map(|index| (index / width) as f32).collect();
        assert_eq!(column_sums(&values, width), vec![780.0; width]);
        assert_eq!(column_sums(&[], 5), [0.0; 5]);
    }
}
