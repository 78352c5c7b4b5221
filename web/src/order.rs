//! One sort for the whole page: the standard library's is made anew, and large, for every type.

/// The indices `0..len` in the order of `is_before`; equal ones stay as they were. Merges runs that double
/// in length.
pub fn order(len: usize, is_before: &dyn Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..len).collect();
    let mut run = 1;
    while run < len {
        let mut merged = Vec::with_capacity(len);
        for both in indices.chunks(2 * run) {
            let (mut left, mut right) = both.split_at(run.min(both.len()));
            while let (Some(first), Some(second)) = (left.first(), right.first()) {
                let side = if is_before(*second, *first) { &mut right } else { &mut left };
                merged.push(side[0]);
                *side = &side[1..];
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        indices = merged;
        run *= 2;
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ones_stay_as_they_were() {
        for len in 0..70 {
            let keys: Vec<usize> = (0..len).map(|index| index * 7919 % 11).collect();
            let mut want: Vec<usize> = (0..len).collect();
            want.sort_by_key(|index| keys[*index]);
            assert_eq!(order(len, &|left, right| keys[left] < keys[right]), want);
        }
    }
}
