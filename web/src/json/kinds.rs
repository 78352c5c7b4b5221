//! How numbers, texts and lists become values of JSON, and come from them.

use super::Json;

/// What has a form as JSON.
pub trait Wire: Sized {
    /// As a value.
    fn to_json(&self) -> Json;
    /// From a value, `None` if it is of another form.
    fn from_json(json: Json) -> Option<Self>;
}

macro_rules! numbers {
    ($is_one:expr; $($kind:ty),*) => {$(
        impl Wire for $kind {
            fn to_json(&self) -> Json {
                Json::Number(*self as f64)
            }

            fn from_json(json: Json) -> Option<Self> {
                match json {
                    Json::Number(number) if $is_one(number) => Some(number as Self),
                    _ => None,
                }
            }
        }
    )*};
}

numbers!(|number: f64| (number as f32).is_finite(); f32);
numbers!(f64::is_finite; f64);
numbers!(is_count; u64, usize);

impl Wire for u32 {
    fn to_json(&self) -> Json {
        Json::Number(f64::from(*self))
    }

    fn from_json(json: Json) -> Option<Self> {
        u64::from_json(json)?.try_into().ok()
    }
}

/// Whether a number is a whole one from 0 on, of those that a `f64` tells apart.
fn is_count(number: f64) -> bool {
    (0.0..=9_007_199_254_740_991.0).contains(&number) && number.floor() == number
}

impl Wire for bool {
    fn to_json(&self) -> Json {
        Json::Bool(*self)
    }

    fn from_json(json: Json) -> Option<Self> {
        match json {
            Json::Bool(is_true) => Some(is_true),
            _ => None,
        }
    }
}

impl Wire for String {
    fn to_json(&self) -> Json {
        Json::Text(self.clone())
    }

    fn from_json(json: Json) -> Option<Self> {
        match json {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<T: Wire> Wire for Option<T> {
    fn to_json(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::to_json)
    }

    fn from_json(json: Json) -> Option<Self> {
        match json {
            Json::Null => Some(None),
            json => T::from_json(json).map(Some),
        }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn to_json(&self) -> Json {
        T::to_json(self)
    }

    fn from_json(json: Json) -> Option<Self> {
        T::from_json(json).map(Self::new)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn to_json(&self) -> Json {
        Json::List(self.iter().map(T::to_json).collect())
    }

    fn from_json(json: Json) -> Option<Self> {
        match json {
            Json::List(items) => items.into_iter().map(T::from_json).collect(),
            _ => None,
        }
    }
}

impl<T: Wire, const N: usize> Wire for [T; N] {
    fn to_json(&self) -> Json {
        Json::List(self.iter().map(T::to_json).collect())
    }

    fn from_json(json: Json) -> Option<Self> {
        Vec::from_json(json)?.try_into().ok()
    }
}

impl<T: Wire> Wire for (T, T) {
    fn to_json(&self) -> Json {
        Json::List(vec![self.0.to_json(), self.1.to_json()])
    }

    fn from_json(json: Json) -> Option<Self> {
        <[T; 2]>::from_json(json).map(|[first, second]| (first, second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_count_is_nothing() {
        let read = |text: &str| Json::parse(text).ok().and_then(usize::from_json);
        assert_eq!((read("0"), read("1e3")), (Some(0), Some(1000)));
        for text in ["-1", "0.5", "9007199254740992", "1e300"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(u32::from_json(Json::Number(4_294_967_296.0)), None);
    }

    #[test]
    fn what_is_no_number_is_nothing() {
        assert_eq!(f64::NAN.to_json().to_line(), "null");
        assert_eq!(Option::<f64>::from_json(Json::Null), Some(None));
        assert_eq!(f64::from_json(Json::Null), None);
        assert_eq!(f32::from_json(Json::Number(1e39)), None);
        let small = 0.1_f32;
        let line = small.to_json().to_line();
        assert_eq!(Json::parse(&line).ok().and_then(f32::from_json), Some(small));
    }
}
