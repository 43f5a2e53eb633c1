//! Run-time choice of the instruction set.
//!
//! A kernel is written once, as a plain loop over slices that the compiler can vectorise, and
//! compiled once for each instruction set; the machine's best one is chosen at each call. All
//! variants run the same exactly rounded operations on each element, so they agree to the last bit
//! (a test holds them to it). Other architectures compile the loop for their baseline, which on
//! AArch64 holds NEON and fused multiply-add.

use std::sync::OnceLock;

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The compilation target's baseline. On x86-64 without FMA this is slow, never different.
    Baseline,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL), and BMI2.
    Avx512,
}

/// The instruction set that kernels run with on this machine.
#[inline]
pub fn level() -> Level {
    #[cfg(test)]
    if let Some(forced) = tests::FORCED.get() {
        return forced;
    }
    detected()
}

#[inline]
fn detected() -> Level {
    static DETECTED: OnceLock<Level> = OnceLock::new();
    *DETECTED.get_or_init(detect)
}

fn detect() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("bmi2")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
        {
            return Level::Avx512;
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            return Level::Avx2;
        }
    }
    Level::Baseline
}

/// Defines a function over `T: Real`, and one other type if need be, that is compiled for every [`Level`] and dispatches to the
/// machine's best. The body must call only `#[inline(always)]` functions to gain from it.
macro_rules! dispatched {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident<$T:ident: Real $(, $C:ident: $bound:path)?>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        $vis fn $name<$T: $crate::Real $(, $C: $bound)?>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<$T: $crate::Real $(, $C: $bound)?>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi2,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512<$T: $crate::Real $(, $C: $bound)?>($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$T: $crate::Real $(, $C: $bound)?>($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            match $crate::dispatch::level() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `level` reports an instruction set only where the machine has it.
                $crate::dispatch::Level::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::dispatch::Level::Avx2 => unsafe { avx2($($arg),*) },
                _ => body($($arg),*),
            }
        }
    };
}
pub(crate) use dispatched;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        pub(super) static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
    }

    /// Runs `work` once for each instruction set that this machine has.
    pub(crate) fn at_each_level<R>(mut work: impl FnMut() -> R) -> Vec<R> {
        let best = detected();
        let mut results = Vec::new();
        for level in [Level::Baseline, Level::Avx2, Level::Avx512] {
            if level as u8 <= best as u8 {
                FORCED.set(Some(level));
                results.push(work());
            }
        }
        FORCED.set(None);
        results
    }
}
