//! The coefficients of explicit Runge-Kutta methods.

/// An explicit method: `k_s = f(t + c_s h, y + h sum_j a_sj k_j)`, `y + h sum_s b_s k_s`.
#[derive(Debug)]
pub(super) struct Tableau {
    /// Where in a step each stage lies.
    pub(super) nodes: &'static [f64],
    /// Of each stage, the weights of those before it.
    pub(super) stages: &'static [&'static [f64]],
    /// The weights of the result.
    pub(super) result: &'static [f64],
    /// How its error is estimated; `None` for a method of a fixed step.
    pub(super) control: Option<Control>,
}

/// The estimate of a step's error, and what becomes of the step size.
#[derive(Debug)]
pub(super) struct Control {
    /// Weights of the estimate, the field at the end of the step included, as the last.
    pub(super) error: &'static [f64],
    /// Those of a second one of lower order, by which the first is stretched: `e^2 / sqrt(e^2 + e_2^2 / 100)`.
    pub(super) lower: Option<&'static [f64]>,
    /// The power of the error that a step size is divided by.
    pub(super) power: f64,
    /// That of the error of the step before, which damps (the integral part of the controller).
    pub(super) damping: f64,
    /// A step is at least so many times the one before, and at most: an error of order 8 that happened to look like none would let the next be as much larger.
    pub(super) change: [f64; 2],
    /// Order of the initial step's rule.
    pub(super) order: f64,
}

/// The classical method of order 4.
pub(super) static RUNGE_KUTTA_4: Tableau = Tableau {
    nodes: &[0.0, 0.5, 0.5, 1.0],
    stages: &[&[], &[0.5], &[0.0, 0.5], &[0.0, 0.0, 1.0]],
    result: &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
    control: None,
};

/// Order 5, with an estimate of order 4: Dormand, Prince. *A family of embedded Runge-Kutta formulae*. J. Comput. Appl. Math. 6 (1980).
pub(super) static DORMAND_PRINCE_5: Tableau = Tableau {
    nodes: &[0.0, 0.2, 0.3, 0.8, 8.0 / 9.0, 1.0],
    stages: &[
        &[],
        &[0.2],
        &[3.0 / 40.0, 9.0 / 40.0],
        &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
        &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
        &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
    ],
    result: &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
    control: Some(Control {
        error: &[
            71.0 / 57600.0,
            0.0,
            -71.0 / 16695.0,
            71.0 / 1920.0,
            -17253.0 / 339200.0,
            22.0 / 525.0,
            -1.0 / 40.0,
        ],
        lower: None,
        power: 0.2 - 0.75 * 0.04,
        damping: 0.04,
        change: [0.2, 10.0],
        order: 5.0,
    }),
};

/// Order 8, with estimates of order 5 and 3: the method of `DOP853`, Hairer, Norsett, Wanner. *Solving Ordinary Differential Equations I*, II.5 and II.10,
/// after Prince, Dormand. *High order embedded Runge-Kutta formulae*. J. Comput. Appl. Math. 7 (1981).
pub(super) static DORMAND_PRINCE_8: Tableau = Tableau {
    nodes: &[
        0.0,
        0.05260015195876773,
        0.0789002279381516,
        0.1183503419072274,
        0.2816496580927726,
        1.0 / 3.0,
        0.25,
        4.0 / 13.0,
        0.6512820512820513,
        0.6,
        6.0 / 7.0,
        1.0,
    ],
    stages: &[
        &[],
        &[0.05260015195876773],
        &[0.0197250569845379, 0.0591751709536137],
        &[0.02958758547680685, 0.0, 0.08876275643042054],
        &[0.2413651341592667, 0.0, -0.8845494793282861, 0.924834003261792],
        &[1.0 / 27.0, 0.0, 0.0, 0.17082860872947386, 0.12546768756682242],
        &[0.037109375, 0.0, 0.0, 0.17025221101954405, 0.06021653898045596, -0.017578125],
        &[
            0.03709200011850479,
            0.0,
            0.0,
            0.17038392571223998,
            0.10726203044637328,
            -0.015319437748624402,
            0.008273789163814023,
        ],
        &[
            0.6241109587160757,
            0.0,
            0.0,
            -3.3608926294469414,
            -0.868219346841726,
            27.59209969944671,
            20.154067550477894,
            -43.48988418106996,
        ],
        &[
            0.47766253643826434,
            0.0,
            0.0,
            -2.4881146199716677,
            -0.590290826836843,
            21.230051448181193,
            15.279233632882423,
            -33.28821096898486,
            -0.020331201708508627,
        ],
        &[
            -0.9371424300859873,
            0.0,
            0.0,
            5.186372428844064,
            1.0914373489967295,
            -8.149787010746927,
            -18.52006565999696,
            22.739487099350505,
            2.4936055526796523,
            -3.0467644718982196,
        ],
        &[
            2.273310147516538,
            0.0,
            0.0,
            -10.53449546673725,
            -2.0008720582248625,
            -17.9589318631188,
            27.94888452941996,
            -2.8589982771350235,
            -8.87285693353063,
            12.360567175794303,
            0.6433927460157636,
        ],
    ],
    result: &[
        0.054293734116568765,
        0.0,
        0.0,
        0.0,
        0.0,
        4.450312892752409,
        1.8915178993145003,
        -5.801203960010585,
        0.3111643669578199,
        -0.1521609496625161,
        0.20136540080403034,
        0.04471061572777259,
    ],
    control: Some(Control {
        error: &[
            0.01312004499419488,
            0.0,
            0.0,
            0.0,
            0.0,
            -1.2251564463762044,
            -0.4957589496572502,
            1.6643771824549864,
            -0.35032884874997366,
            0.3341791187130175,
            0.08192320648511571,
            -0.022355307863886294,
            0.0,
        ],
        lower: Some(&[
            -0.18980075407240762,
            0.0,
            0.0,
            0.0,
            0.0,
            4.450312892752409,
            1.8915178993145003,
            -5.801203960010585,
            -0.4226823213237919,
            -0.1521609496625161,
            0.20136540080403034,
            0.02265179219836082,
            0.0,
        ]),
        power: 0.125,
        damping: 0.0,
        change: [1.0 / 3.0, 2.0],
        order: 8.0,
    }),
};

#[cfg(test)]
mod tests {
    use super::*;

    /// What sums of powers and of nested products a method of order 4 or more must meet (Hairer, Norsett, Wanner, II.2, table 2.1).
    #[test]
    fn coefficients_meet_the_conditions_of_order_four() {
        for tableau in [&RUNGE_KUTTA_4, &DORMAND_PRINCE_5, &DORMAND_PRINCE_8] {
            let sum = |f: &dyn Fn(usize) -> f64| -> f64 {
                tableau.result.iter().enumerate().map(|(s, b)| b * f(s)).sum()
            };
            let below = |s: usize, f: &dyn Fn(usize) -> f64| -> f64 {
                tableau.stages[s].iter().enumerate().map(|(j, a)| a * f(j)).sum()
            };
            let c = |s: usize| tableau.nodes[s];
            for s in 0..tableau.nodes.len() {
                assert!((below(s, &|_| 1.0) - c(s)).abs() < 1e-14, "stage {s}");
            }
            let found = [
                sum(&|_| 1.0),
                sum(&c),
                sum(&|s| c(s).powi(2)),
                sum(&|s| below(s, &c)),
                sum(&|s| c(s).powi(3)),
                sum(&|s| c(s) * below(s, &c)),
                sum(&|s| below(s, &|j| c(j).powi(2))),
                sum(&|s| below(s, &|j| below(j, &c))),
            ];
            let expected = [1.0, 2.0, 3.0, 6.0, 4.0, 8.0, 12.0, 24.0].map(|v: f64| v.recip());
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-14, "{found} {expected}");
            }
            if let Some(control) = &tableau.control {
                for error in std::iter::once(control.error).chain(control.lower) {
                    assert_eq!(error.len(), tableau.result.len() + 1);
                    assert!(error.iter().sum::<f64>().abs() < 1e-14);
                }
            }
        }
    }
}
