//! Matrix products for WebAssembly: sixteen columns of the right matrix at a time, two rows of the left.
//!
//! The library's kernel ([`gemm`](super::gemm)) keeps twelve sums of four numbers in flight, for which
//! a browser's compiler has not enough registers. Eight sums fit; docs/BENCHMARKS.md has the figures.
//! Plain arrays, which the compiler turns into 128-bit vectors where the build allows them.

use std::ops::Range;

use super::gemm::Matrix;

#[cfg(all(target_arch = "wasm32", not(target_feature = "simd128")))]
compile_error!(
    "expected the target feature simd128, which `.cargo/config.toml` asks for; cargo leaves that out where the \
     variable RUSTFLAGS is set"
);

/// Columns of a panel.
const COLUMNS: usize = 16;
/// Rows of a tile.
const ROWS: usize = 2;
/// Rows of the right matrix in a panel, which is read again for every tile: 24 KB, inside L1.
const DEPTH: usize = 384;
/// With fewer rows of the left matrix than these, a panel is not read often enough to be worth a copy.
const COPIED_FROM: usize = 16;

/// Sums over one block of the depth: `row` and first `column` of the output, the sums of that row from
/// there on, and whether this is the first block (else they come on top of what was put before).
pub(super) struct Sums<'a> {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) values: &'a [f32],
    pub(super) is_first: bool,
}

/// `left · right`, handed to `put` piece by piece. The depth is not 0.
pub(super) fn multiply(left: Matrix<'_>, right: Matrix<'_>, mut put: impl FnMut(Sums<'_>)) {
    let ([rows, depth], [_, columns]) = (left.dims(), right.dims());
    let mut panel = Vec::with_capacity(DEPTH.min(depth));
    let mut lefts = Vec::with_capacity(rows.div_ceil(ROWS) * DEPTH.min(depth));
    for from in (0..depth).step_by(DEPTH) {
        let to = (from + DEPTH).min(depth);
        copy_left(left, from..to, &mut lefts);
        for column in (0..columns).step_by(COLUMNS) {
            let width = COLUMNS.min(columns - column);
            let is_copied = rows >= COPIED_FROM || width < COLUMNS || !right.has_rows();
            if is_copied {
                copy_right(right, from..to, column..column + width, &mut panel);
            }
            for (index, left) in lefts.chunks_exact(to - from).enumerate() {
                let in_place = |k| right.row(k, column..column + width).first_chunk();
                let sums = match is_copied {
                    true => tile(panel.iter(), left),
                    false => tile((from..to).map_while(in_place), left),
                };
                let row = index * ROWS;
                for (row, sums) in (row..rows).zip(&sums) {
                    put(Sums { row, column, values: &sums[..width], is_first: from == 0 });
                }
            }
        }
    }
}

/// Rows of the left matrix two by two, side by side; a last one alone has zeros beside it.
fn copy_left(left: Matrix<'_>, depth: Range<usize>, lefts: &mut Vec<[f32; ROWS]>) {
    let [rows, _] = left.dims();
    lefts.clear();
    for row in (0..rows).step_by(ROWS) {
        let is_alone = row + 1 == rows;
        if left.has_rows() {
            let upper = left.row(row, depth.clone());
            let zeros = &[0.0; DEPTH][..upper.len()];
            let lower = if is_alone { zeros } else { left.row(row + 1, depth.clone()) };
            lefts.extend(upper.iter().zip(lower).map(|(upper, lower)| [*upper, *lower]));
        } else {
            let pair = |k| left.transposed().row(k, row..(row + ROWS).min(rows));
            lefts.extend(depth.clone().map(|k| match pair(k) {
                [upper, lower] => [*upper, *lower],
                alone => [alone[0], 0.0],
            }));
        }
    }
}

/// Columns of the right matrix, with zeros where there are fewer than a panel's.
fn copy_right(
    right: Matrix<'_>,
    depth: Range<usize>,
    columns: Range<usize>,
    panel: &mut Vec<[f32; COLUMNS]>,
) {
    panel.clear();
    panel.resize(depth.len(), [0.0; COLUMNS]);
    if right.has_rows() {
        for (to, k) in panel.iter_mut().zip(depth) {
            let row = right.row(k, columns.clone());
            match row.first_chunk() {
                // Of a known length: a copy of four registers.
                Some(row) => *to = *row,
                None => to[..row.len()].copy_from_slice(row),
            }
        }
    } else {
        for (place, column) in columns.enumerate() {
            let values = right.transposed().row(column, depth.clone());
            panel.iter_mut().zip(values).for_each(|(to, value)| to[place] = *value);
        }
    }
}

/// The products of the rows at hand with a panel, summed over the depth.
#[inline(always)]
fn tile<'a>(
    panel: impl Iterator<Item = &'a [f32; COLUMNS]>,
    left: &[[f32; ROWS]],
) -> [[f32; COLUMNS]; ROWS] {
    let mut sums = [[0.0; COLUMNS]; ROWS];
    for (right, left) in panel.zip(left) {
        for (sums, left) in sums.iter_mut().zip(left) {
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum += left * right;
            }
        }
    }
    sums
}
