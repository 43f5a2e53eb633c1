//! Closed lists of what a file can name: one line an entry.

/// Makes the enum of a list of descriptions, each a variant of its own, and the one match that every use goes through.
///
/// An entry is `module::Variant(Description)`; what the module makes public, the list makes public.
///
/// In a file a description is its fields and a `type`, the variant in snake case. A variant that is not listed is refused.
macro_rules! catalog {
    ($(#[$meta:meta])* pub enum $name:ident: $describe:ident { $($module:ident::$variant:ident($spec:ident)),+ $(,)? }) => {
        $(pub use $module::*;)+

        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum $name {
            $(
                #[doc = concat!("See [`", stringify!($spec), "`].")]
                $variant($spec),
            )+
        }

        impl $name {
            /// The names of all variants.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($variant)),+];

            /// The name of the variant.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($variant),)+
                }
            }
        }

        impl std::ops::Deref for $name {
            type Target = dyn $describe;

            fn deref(&self) -> &(dyn $describe + 'static) {
                match self {
                    $(Self::$variant(spec) => spec,)+
                }
            }
        }

        impl std::ops::DerefMut for $name {
            fn deref_mut(&mut self) -> &mut (dyn $describe + 'static) {
                match self {
                    $(Self::$variant(spec) => spec,)+
                }
            }
        }

        impl $crate::catalog::Cases for $name {
            fn cases(at: $crate::place::Place) -> Vec<Self> {
                let mut all = Vec::new();
                $(all.extend(<$spec as $crate::catalog::Cases>::cases(at).into_iter().map(Self::$variant));)+
                all
            }
        }

        $(
            impl From<$spec> for $name {
                fn from(spec: $spec) -> Self {
                    Self::$variant(spec)
                }
            }
        )+
    };
}

pub(crate) use catalog;

/// The shapes of a description that matter, for rows and contexts of the widths of a place; none where it cannot stand, or where it has
/// no use for a context and there is one.
pub trait Cases: Sized {
    /// Descriptions to be tried.
    fn cases(at: crate::place::Place) -> Vec<Self>;
}
