//! The best approximation of a tall matrix by one of low rank.
//!
//! `A = U S Vᵀ` (Eckart and Young 1936, doi:10.1007/BF02288367): the `rank` largest singular values
//! with their vectors leave the smallest squared error of all matrices of that rank. `V` and `S²` are
//! the eigenvectors and eigenvalues of the Gram matrix `Aᵀ A`, which is small (768 × 768 for BERT) and
//! is summed and decomposed in `f64`; then `U S = A V`.
//!
//! Rows can have weights: with `W` diagonal, `V` comes from the decomposition of `W^½ A`, and `A V Vᵀ`
//! has the smallest weighted squared error.

use nalgebra::{DMatrix, SymmetricEigen};

/// Rows of the Gram matrix's sum that are converted to `f64` at a time.
const BLOCK: usize = 2048;

/// `left · right` approximates the matrix.
#[derive(Clone, Debug)]
pub struct TruncatedSvd {
    /// `A V`, which is `U S` where all rows weigh the same; `[rows, rank]`, row by row.
    pub left: Vec<f32>,
    /// `Vᵀ`, `[rank, columns]`, row by row; its rows are orthonormal.
    pub right: Vec<f32>,
    /// All singular values, of the matrix with its weights, largest first.
    pub singular_values: Vec<f64>,
}

/// Decomposes `values`, `[rows, columns]` row by row; `weights` has a number for each row, none of
/// them below 0, or all weigh 1.
///
/// The sign of each pair of vectors is such that the largest component of the right one is positive.
///
/// # Panics
///
/// If `rank` is 0 or more than `columns`, or if `values` or `weights` has another length.
pub fn truncated_svd(
    values: &[f32],
    [rows, columns]: [usize; 2],
    rank: usize,
    weights: Option<&[f64]>,
) -> TruncatedSvd {
    assert_eq!(values.len(), rows * columns, "values of a {rows} × {columns} matrix");
    assert!((1..=columns).contains(&rank), "rank {rank} of a matrix with {columns} columns");
    assert!(
        weights.is_none_or(|weights| weights.len() == rows),
        "a weight for each of {rows} rows"
    );
    let blocks = || values.chunks(BLOCK * columns).map(|block| to_f64(block, columns));
    let mut gram = DMatrix::zeros(columns, columns);
    for (number, block) in blocks().enumerate() {
        let mut weighted = block.clone();
        if let Some(weights) = weights {
            let weights = &weights[number * BLOCK..];
            for (mut row, weight) in weighted.row_iter_mut().zip(weights) {
                row *= *weight;
            }
        }
        gram += block.transpose() * weighted;
    }
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(gram);
    let mut order: Vec<usize> = (0..columns).collect();
    order.sort_by(|a, b| eigenvalues[*b].total_cmp(&eigenvalues[*a]));
    let singular_values = order.iter().map(|index| eigenvalues[*index].max(0.0).sqrt()).collect();
    let mut vectors = eigenvectors.select_columns(&order[..rank]);
    for mut vector in vectors.column_iter_mut() {
        let largest = vector.iamax();
        if vector[largest] < 0.0 {
            vector.neg_mut();
        }
    }
    // nalgebra stores columns: the transpose, read column by column, is the matrix row by row.
    let left = blocks().flat_map(|block| to_f32(&(&block * &vectors).transpose())).collect();
    TruncatedSvd { left, right: to_f32(&vectors), singular_values }
}

fn to_f64(block: &[f32], columns: usize) -> DMatrix<f64> {
    let rows = block.len() / columns;
    DMatrix::from_row_iterator(rows, columns, block.iter().copied().map(f64::from))
}

/// The values column by column.
fn to_f32(matrix: &DMatrix<f64>) -> Vec<f32> {
    matrix.iter().map(|value| *value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix that is `Σ strength · u vᵀ` with orthogonal `u` and `v` of norm 1.
    fn matrix(strengths: &[f32]) -> Vec<f32> {
        let (rows, columns) = (8, 4);
        let sign = |row: usize, pattern: usize| {
            if (row & pattern).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
        };
        let mut values = vec![0.0; rows * columns];
        for (index, strength) in strengths.iter().enumerate() {
            for (place, value) in values.iter_mut().enumerate() {
                let (row, column) = (place / columns, place % columns);
                let u = sign(row, index + 1) / 8f32.sqrt();
                let v = sign(column, index) / 2.0;
                *value += strength * u * v;
            }
        }
        values
    }

    fn multiply(svd: &TruncatedSvd, columns: usize, rank: usize) -> Vec<f32> {
        let rows = svd.left.chunks_exact(rank);
        let cell = |row: &[f32], column: usize| -> f32 {
            row.iter().enumerate().map(|(k, left)| left * svd.right[k * columns + column]).sum()
        };
        rows.flat_map(|row| (0..columns).map(move |column| cell(row, column)).collect::<Vec<_>>())
            .collect()
    }

    fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
        left.iter().zip(right).map(|(left, right)| (left - right).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn singular_values_are_the_strengths_largest_first() {
        let svd = truncated_svd(&matrix(&[2.0, 5.0, 0.5]), [8, 4], 2, None);
        for (found, want) in svd.singular_values.iter().zip([5.0, 2.0, 0.5, 0.0]) {
            assert!((found - want).abs() < 1e-6, "{:?}", svd.singular_values);
        }
    }

    #[test]
    fn full_rank_gives_the_matrix_back() {
        let values = matrix(&[2.0, 5.0, 0.5, 1.0]);
        let svd = truncated_svd(&values, [8, 4], 4, None);
        assert!(largest_difference(&multiply(&svd, 4, 4), &values) < 1e-5);
    }

    #[test]
    fn low_rank_keeps_the_strongest_parts() {
        let svd = truncated_svd(&matrix(&[2.0, 5.0, 0.5]), [8, 4], 2, None);
        let want = matrix(&[2.0, 5.0]);
        assert!(largest_difference(&multiply(&svd, 4, 2), &want) < 1e-5);
    }

    #[test]
    fn a_row_that_weighs_three_counts_as_three_rows() {
        let (rows, columns, rank) = (BLOCK + 50, 5, 2);
        let value = |place: usize| ((place * 7919) % 1013) as f32 / 1013.0 - 0.5;
        let values: Vec<f32> = (0..rows * columns).map(value).collect();
        // In the second block, and large, so that it turns the vectors.
        let mut once = values.clone();
        once[(rows - 1) * columns..].copy_from_slice(&[40.0, -3.0, 9.0, 20.0, -11.0]);
        let mut thrice = once.clone();
        (0..2).for_each(|_| thrice.extend_from_within((rows - 1) * columns..rows * columns));
        let mut weights = vec![1.0; rows];
        weights[rows - 1] = 3.0;
        let weighted = truncated_svd(&once, [rows, columns], rank, Some(&weights));
        let repeated = truncated_svd(&thrice, [rows + 2, columns], rank, None);
        let plain = truncated_svd(&once, [rows, columns], rank, None);
        assert!(largest_difference(&weighted.right, &repeated.right) < 1e-5);
        assert!(largest_difference(&weighted.left, &repeated.left) < 1e-3);
        assert!(largest_difference(&weighted.right, &plain.right) > 1e-4);
        for (found, want) in weighted.singular_values.iter().zip(&repeated.singular_values) {
            assert!((found - want).abs() < 1e-6 * want, "{found} against {want}");
        }
    }

    #[test]
    fn right_vectors_are_orthonormal_with_a_positive_largest_component() {
        let values: Vec<f32> = (0..60).map(|index| ((index * 37) % 23) as f32 - 11.0).collect();
        let svd = truncated_svd(&values, [12, 5], 3, None);
        let rows: Vec<&[f32]> = svd.right.chunks_exact(5).collect();
        for (i, left) in rows.iter().enumerate() {
            for (j, right) in rows.iter().enumerate() {
                let product: f32 = left.iter().zip(*right).map(|(a, b)| a * b).sum();
                assert!((product - f32::from(u8::from(i == j))).abs() < 1e-5);
            }
            let largest = left.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
            assert!(largest.is_some_and(|largest| largest > 0.0));
        }
    }

    #[test]
    fn fewer_rows_than_columns_are_no_problem() {
        let values = [3.0, 0.0, 0.0, 4.0, 0.0, 0.0];
        let svd = truncated_svd(&values, [2, 3], 2, None);
        assert!((svd.singular_values[0] - 5.0).abs() < 1e-9, "{:?}", svd.singular_values);
        assert!(largest_difference(&multiply(&svd, 3, 2), &values) < 1e-6);
    }
}
