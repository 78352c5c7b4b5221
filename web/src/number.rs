//! Numbers as text and back. What the standard library brings for that is exact to the last bit at any
//! length, and a tenth of the page's module; a page that shows three digits needs less.

/// With so many digits behind the point, rounded half up; `–` for what is no number.
pub fn fixed(value: f64, digits: u32) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let scale = 10_u64.pow(digits);
    let scaled = (value.abs() * scale as f64 + 0.5).floor() as u64;
    let sign = if value < 0.0 && scaled > 0 { "-" } else { "" };
    let (whole, part) = (scaled / scale, scaled % scale);
    match digits {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{part:0width$}", width = digits as usize),
    }
}

/// As short as it can be read back to the same number.
pub fn shortest(value: f64) -> String {
    #[cfg(target_arch = "wasm32")]
    {
        // Radix 10 is one that JavaScript knows.
        js_sys::Number::from(value).to_string_with_radix(10).map(String::from).unwrap_or_default()
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        value.to_string()
    }
}

/// Digits that a mantissa takes without overflow.
const DIGITS: usize = 19;

/// Reads a decimal number such as `-12.5e-3`: to the nearest one where it has 15 digits or fewer, else to
/// one of its neighbours.
pub fn parse(text: &str) -> Option<f64> {
    let (is_negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (digits, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], whole(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let (mut mantissa, mut shift, mut count, mut seen) = (0_u64, exponent, 0, false);
    let mut is_behind = false;
    for byte in digits.bytes() {
        match byte {
            b'.' if !is_behind => is_behind = true,
            b'0'..=b'9' => {
                seen = true;
                // Further digits change nothing but the size.
                let fits = count < DIGITS;
                if fits {
                    mantissa = mantissa * 10 + u64::from(byte - b'0');
                    count += usize::from(mantissa > 0);
                }
                shift += i32::from(!fits) - i32::from(is_behind);
            }
            _ => return None,
        }
    }
    let value = scaled(mantissa as f64, shift);
    seen.then_some(if is_negative { -value } else { value })
}

/// `value · 10^shift`. Powers up to 22 have no rounding, so neither has one product or quotient of them.
fn scaled(mut value: f64, shift: i32) -> f64 {
    let mut left = shift.unsigned_abs().min(400);
    while left > 0 {
        let step = left.min(22);
        let power = (0..step).fold(1.0, |power, _| power * 10.0);
        value = if shift < 0 { value / power } else { value * power };
        left -= step;
    }
    value
}

fn whole(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_plain =
        !digits.is_empty() && digits.len() < 6 && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_plain {
        return None;
    }
    let value = digits.bytes().fold(0, |sum, byte| sum * 10 + i32::from(byte - b'0'));
    Some(if text.starts_with('-') { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_rounded() {
        for (value, digits, want) in [
            (0.0, 3, "0.000"),
            (0.9996, 3, "1.000"),
            (12.345, 1, "12.3"),
            (-0.04, 1, "0.0"),
            (-1.26, 1, "-1.3"),
            (0.05, 2, "0.05"),
            (1e6 + 0.5, 0, "1000001"),
            (f64::NAN, 2, "–"),
            (f64::INFINITY, 2, "–"),
        ] {
            assert_eq!(fixed(value, digits), want);
        }
    }

    #[test]
    fn the_standard_library_agrees() {
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = f64::from_bits(seed);
            let small = (seed >> 40) as f64 / 997.0;
            for value in [value, small].into_iter().filter(|value| value.is_normal()) {
                let read = parse(&format!("{value:e}")).expect("a number");
                assert!(
                    (read / value - 1.0).abs() < 1e-14 || value.abs() < 1e-290,
                    "{value:e} {read:e}"
                );
            }
            assert_eq!(parse(&format!("{:.9}", small)), format!("{:.9}", small).parse().ok());
            assert_eq!(fixed(small, 3), format!("{small:.3}"));
        }
    }

    #[test]
    fn numbers_are_read() {
        for (text, want) in [
            ("0", 0.0),
            ("-12.5e-3", -0.0125),
            ("1e+21", 1e21),
            ("5E-5", 5e-5),
            ("9007199254740991", 9007199254740991.0),
            ("00012345678901234567890123", 12345678901234567890123.0),
            ("0.00000000000000000000000000123", 1.23e-27),
            ("1e999", f64::INFINITY),
            ("1e-999", 0.0),
            ("0.30000000000000004", 0.1 + 0.2),
        ] {
            assert_eq!(parse(text), Some(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in
            ["", "-", ".", "e5", "1e", "1e+", "1.2.3", "+1", "NaN", "1e1.5", "0x1", "1e1234567"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
