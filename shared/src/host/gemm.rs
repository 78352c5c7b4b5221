//! Matrix products of `f32` slices, by the same library that Burn's CPU backend uses ([`gemm`]), in a
//! browser by `panel.rs`, which is faster there.
//!
//! Called directly, a product goes into memory that nothing has cleared or copied before, can be
//! added to what is there, and can read and write a head's columns in place.

use std::mem::MaybeUninit;

/// A matrix in a slice: element `(i, j)` is `values[i * strides[0] + j * strides[1]]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: &'a [f32],
    dims: [usize; 2],
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// Rows of `dims[1]` values, each `stride` after the one before.
    pub fn new(values: &'a [f32], dims: [usize; 2], stride: usize) -> Self {
        let matrix = Self { values, dims, strides: [stride, 1] };
        assert!(
            matrix.end() <= values.len(),
            "{matrix:?} reaches past its {} values",
            values.len()
        );
        matrix
    }

    /// All of `values`, row by row.
    pub fn whole(values: &'a [f32], dims: [usize; 2]) -> Self {
        Self::new(values, dims, dims[1])
    }

    /// Rows as columns.
    pub fn transposed(self) -> Self {
        let ([rows, columns], [down, right]) = (self.dims, self.strides);
        Self { dims: [columns, rows], strides: [right, down], ..self }
    }

    /// Rows and columns.
    #[cfg(any(test, target_arch = "wasm32"))]
    pub(super) fn dims(&self) -> [usize; 2] {
        self.dims
    }

    /// Whether the elements of a row stand side by side.
    #[cfg(any(test, target_arch = "wasm32"))]
    pub(super) fn has_rows(&self) -> bool {
        self.strides[1] == 1
    }

    /// A part of a row of a matrix that [`has_rows`](Self::has_rows); else its transpose does.
    #[cfg(any(test, target_arch = "wasm32"))]
    #[inline(always)]
    pub(super) fn row(&self, row: usize, columns: std::ops::Range<usize>) -> &'a [f32] {
        debug_assert!(self.has_rows(), "{self:?}");
        let row = row * self.strides[0];
        &self.values[row + columns.start..row + columns.end]
    }

    /// One past the last element.
    fn end(&self) -> usize {
        let ([rows, columns], [down, right]) = (self.dims, self.strides);
        if rows == 0 || columns == 0 {
            return 0;
        }
        let last = (rows - 1).checked_mul(down).zip((columns - 1).checked_mul(right));
        let end = last.and_then(|(down, right)| down.checked_add(right)?.checked_add(1));
        end.expect("a matrix in memory has a size that can be counted")
    }
}

/// Which threads work on a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Threads {
    /// The calling one.
    One,
    /// All, where there are several and the product is large.
    All,
}

/// `left · right`, row by row.
pub fn product(left: Matrix<'_>, right: Matrix<'_>) -> Vec<f32> {
    let ([rows, _], [_, columns]) = (left.dims, right.dims);
    let len = rows * columns;
    let mut output = Vec::with_capacity(len);
    let spare = &mut output.spare_capacity_mut()[..len];
    // SAFETY: nothing is added, and `run` then writes every element of the `rows × columns` output.
    #[expect(unsafe_code, reason = "memory that a product fills need not be cleared first")]
    unsafe {
        run(spare, columns, left, right, 1.0, false, Threads::All);
        output.set_len(len);
    }
    output
}

/// Adds `left · right` to `output`, row by row, on all threads.
pub fn add_product(output: &mut [f32], left: Matrix<'_>, right: Matrix<'_>) {
    let stride = right.dims[1];
    // SAFETY: a slice of numbers is initialised.
    #[expect(unsafe_code, reason = "see `run`")]
    unsafe {
        run(as_uninit(output), stride, left, right, 1.0, true, Threads::All);
    }
}

/// Writes `factor · left · right` to rows that stand `stride` apart in `output`, on this thread.
pub fn write_product(
    output: &mut [f32],
    stride: usize,
    left: Matrix<'_>,
    right: Matrix<'_>,
    factor: f32,
) {
    // SAFETY: a slice of numbers is initialised.
    #[expect(unsafe_code, reason = "see `run`")]
    unsafe {
        run(as_uninit(output), stride, left, right, factor, false, Threads::One);
    }
}

fn as_uninit(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the layouts are the same, and `run` only ever writes initialised values.
    #[expect(unsafe_code, reason = "the standard library's cast is not stable")]
    unsafe {
        &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<f32>])
    }
}

/// Writes `factor · left · right`, or adds it where `add`.
///
/// # Safety
///
/// `output` is initialised where `add`.
#[expect(unsafe_code, reason = "the output may be memory that nothing was written to yet")]
unsafe fn run(
    output: &mut [MaybeUninit<f32>],
    stride: usize,
    left: Matrix<'_>,
    right: Matrix<'_>,
    factor: f32,
    add: bool,
    threads: Threads,
) {
    let ([rows, depth], [right_depth, columns]) = (left.dims, right.dims);
    assert_eq!(depth, right_depth, "a product of {:?} and {:?}", left.dims, right.dims);
    assert!(stride >= columns, "rows of {columns} values overlap at a stride of {stride}");
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(
        (rows - 1) * stride + columns <= output.len(),
        "{rows} × {columns} values at a stride of {stride} do not fit {}",
        output.len()
    );
    #[cfg(target_arch = "wasm32")]
    if depth > 0 {
        // SAFETY: as this function's caller promises.
        return unsafe { run_panels(output, stride, left, right, factor, add) };
    }
    // Below it, waking a thread costs more than it saves (flex's own limit).
    #[cfg(feature = "rayon")]
    const PARALLEL: usize = 192 * 192 * 192;
    let parallelism = match threads {
        #[cfg(feature = "rayon")]
        Threads::All if rows * columns * depth >= PARALLEL => gemm::Parallelism::Rayon(0),
        _ => gemm::Parallelism::None,
    };
    // SAFETY: `Matrix` and the assertions above keep every element inside its slice, and the output
    // is borrowed mutably, so it overlaps no input. The output is read only where `add`.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            output.as_mut_ptr().cast::<f32>(),
            1,
            stride as isize,
            add,
            left.values.as_ptr(),
            left.strides[1] as isize,
            left.strides[0] as isize,
            right.values.as_ptr(),
            right.strides[1] as isize,
            right.strides[0] as isize,
            1.0,
            factor,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// [`run`] by panels.
///
/// # Safety
///
/// `output` is initialised where `add`.
#[cfg(any(test, target_arch = "wasm32"))]
#[expect(unsafe_code, reason = "the output may be memory that nothing was written to yet")]
unsafe fn run_panels(
    output: &mut [MaybeUninit<f32>],
    stride: usize,
    left: Matrix<'_>,
    right: Matrix<'_>,
    factor: f32,
    add: bool,
) {
    super::panel::multiply(left, right, |sums| {
        let place = &mut output[sums.row * stride + sums.column..][..sums.values.len()];
        for (place, sum) in place.iter_mut().zip(sums.values) {
            // SAFETY: initialised by the caller where `add`, else by the first block of sums.
            let before = if add || !sums.is_first { unsafe { place.assume_init() } } else { 0.0 };
            place.write(before + factor * sum);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|index| ((index * 37 + seed * 11) % 17) as f32 - 8.0).collect()
    }

    /// The same shape, held row by row or column by column.
    fn flipped(values: &[f32], [rows, columns]: [usize; 2], flip: bool) -> Matrix<'_> {
        match flip {
            true => Matrix::whole(values, [columns, rows]).transposed(),
            false => Matrix::whole(values, [rows, columns]),
        }
    }

    fn by_hand(left: Matrix<'_>, right: Matrix<'_>) -> Vec<f32> {
        let at = |matrix: &Matrix<'_>, i: usize, j: usize| {
            matrix.values[i * matrix.strides[0] + j * matrix.strides[1]]
        };
        let ([rows, depth], [_, columns]) = (left.dims, right.dims);
        let cell = |i: usize, j: usize| -> f32 {
            (0..depth).map(|k| at(&left, i, k) * at(&right, k, j)).sum()
        };
        (0..rows * columns).map(|index| cell(index / columns, index % columns)).collect()
    }

    proptest! {
        #[test]
        fn products_are_those_by_hand(
            rows in 1usize..20, depth in 1usize..20, columns in 1usize..20, flip: [bool; 2]
        ) {
            let (lefts, rights) = (values(rows * depth, 1), values(depth * columns, 2));
            let left = flipped(&lefts, [rows, depth], flip[0]);
            let right = flipped(&rights, [depth, columns], flip[1]);
            let want = by_hand(left, right);
            let mut sum = product(left, right);
            prop_assert_eq!(&sum, &want);
            add_product(&mut sum, left, right);
            prop_assert!(sum.iter().zip(&want).all(|(sum, want)| *sum == 2.0 * want));
            let stride = columns + 3;
            let mut apart = vec![99.0; rows * stride];
            write_product(&mut apart, stride, left, right, 0.5);
            for (row, want) in apart.chunks(stride).zip(want.chunks(columns)) {
                prop_assert!(row[..columns].iter().zip(want).all(|(got, want)| *got == 0.5 * want));
                prop_assert_eq!(&row[columns..], &[99.0; 3]);
            }
        }
    }

    #[test]
    fn panels_give_what_the_library_gives() {
        // Around the sizes at which a tile, a panel, a copy and a block of the depth end.
        let sizes =
            [[1, 1, 1], [3, 5, 16], [15, 7, 33], [16, 384, 16], [17, 385, 31], [2, 800, 47]];
        for [rows, depth, columns] in sizes {
            let (lefts, rights) = (values(rows * depth, 1), values(depth * columns, 2));
            for flip in [[false, false], [false, true], [true, false], [true, true]] {
                let left = flipped(&lefts, [rows, depth], flip[0]);
                let right = flipped(&rights, [depth, columns], flip[1]);
                let want = product(left, right);
                let stride = columns + 3;
                for add in [false, true] {
                    let mut output = vec![1.0; rows * stride];
                    // SAFETY: a slice of numbers is initialised.
                    #[expect(unsafe_code, reason = "see `run_panels`")]
                    unsafe {
                        run_panels(as_uninit(&mut output), stride, left, right, 0.5, add);
                    }
                    let before = if add { 1.0 } else { 0.0 };
                    for (row, want) in output.chunks(stride).zip(want.chunks(columns)) {
                        let got = &row[..columns];
                        let is_same =
                            got.iter().zip(want).all(|(got, want)| *got == before + 0.5 * want);
                        assert!(is_same, "{rows} × {depth} × {columns}, {flip:?}, add {add}");
                        assert_eq!(
                            &row[columns..],
                            &[1.0; 3],
                            "what stands between rows is left alone"
                        );
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "reaches past")]
    fn a_matrix_stays_inside_its_slice() {
        Matrix::new(&[0.0; 5], [2, 2], 4);
    }
}
