//! Figures from inputs that no one would draw on purpose: they must come out whole, honest and the same
//! every time.

use diffeo_plot::*;

/// Checks what every figure must fulfil and returns its SVG.
fn sound(figure: &Figure) -> String {
    let svg = figure.to_svg();
    let tree = roxmltree::Document::parse(&svg).expect("the SVG is well-formed XML");
    for node in tree.descendants().filter(|n| n.is_element()) {
        for attribute in
            node.attributes().filter(|a| a.name() != "href" && a.name() != "aria-label")
        {
            let value = attribute.value();
            assert!(
                !value.contains("NaN") && !value.contains("inf"),
                "{}={value}",
                attribute.name()
            );
        }
        if let Some(reference) = node.attribute("href").and_then(|h| h.strip_prefix('#')) {
            assert!(tree.descendants().any(|n| n.attribute("id") == Some(reference)));
        }
    }
    assert_eq!(svg, figure.to_svg(), "the same figure gives the same text");
    let png = figure.to_png().expect("the figure is not too large");
    assert!(png.starts_with(b"\x89PNG\r\n") && png.len() > 500);
    let size = |at: usize| f64::from(u32::from_be_bytes(png[at..at + 4].try_into().unwrap()));
    assert!((size(16) - 2.0 * figure.width()).abs() <= 1.0, "twice the width in pixels");
    assert!((size(20) - 2.0 * figure.height()).abs() <= 1.0, "twice the height in pixels");
    svg
}

/// Every text of the figure, as a screen reader finds it.
fn texts(svg: &str) -> Vec<String> {
    let tree = roxmltree::Document::parse(svg).unwrap();
    tree.descendants().filter_map(|n| n.attribute("aria-label").map(str::to_owned)).collect()
}

/// All figures of tables from one pair of value lists.
fn draw_tables(columns: &[Column], data: &[f64], samples: &[f64]) -> [Figure; 3] {
    let data = Matrix::new(data, columns.len()).unwrap();
    let samples = Matrix::new(samples, columns.len()).unwrap();
    [
        draw_pairs(&PairsConfig::new(columns, data, samples)).unwrap(),
        draw_marginals(&MarginalsConfig::new(columns, data, samples)).unwrap(),
        draw_calibration(&CalibrationConfig::new(columns, data)).unwrap(),
    ]
}

fn waves(n: usize, scale: f64) -> Vec<f64> {
    (0..n).map(|i| scale * ((i * i) as f64 * 0.618_033_988_75).sin()).collect()
}

#[test]
fn tables_of_no_and_one_and_few_rows() {
    let columns = [Column::real("a"), Column::integer("b")];
    for rows in [0, 1, 2, 3, 7] {
        for sample_rows in [0, 1, 5] {
            let (data, samples) = (waves(2 * rows, 1.0), waves(2 * sample_rows, 1.0));
            draw_tables(&columns, &data, &samples).iter().for_each(|f| drop(sound(f)));
        }
    }
}

#[test]
fn any_number_of_columns() {
    for width in [0, 1, 2, 3, 8, 9, 70] {
        let columns: Vec<Column> = (0..width).map(|j| Column::real(format!("c{j}"))).collect();
        let data = waves(width * 4, 1.0);
        let matrix = if width == 0 { Matrix::empty(0) } else { Matrix::new(&data, width).unwrap() };
        let pairs = draw_pairs(&PairsConfig::new(&columns, matrix, matrix)).unwrap();
        let marginals = draw_marginals(&MarginalsConfig::new(&columns, matrix, matrix)).unwrap();
        let note = "The first 8 of";
        assert_eq!(pairs.notes().iter().any(|n| n.starts_with(note)), width > 8, "{width}");
        sound(&pairs);
        sound(&marginals);
        sound(&draw_calibration(&CalibrationConfig::new(&columns, matrix)).unwrap());
    }
}

#[test]
fn values_that_are_not_finite_are_skipped_and_counted() {
    let columns = [Column::real("a"), Column::real("b")];
    let mut data = waves(4000, 1.0);
    [data[0], data[7], data[8]] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let figures = draw_tables(&columns, &data, &[f64::NAN; 6]);
    for figure in &figures[..2] {
        sound(figure);
        let note = "Not finite, skipped: 3 data values, 6 sample values.";
        assert!(figure.notes().iter().any(|n| n == note), "{:?}", figure.notes());
    }
    sound(&figures[2]);
    assert!(figures[2].notes().iter().any(|n| n.contains("skipped: 3 transforms")));
}

#[test]
fn scales_from_the_smallest_to_the_largest() {
    let columns = [Column::real("a"), Column::integer("b")];
    for scale in [5e-324, 1e-300, 1e-30, 1e-3, 1.0, 1e9, 1e30, 1e300, f64::MAX] {
        let data = waves(4000, scale);
        for samples in [waves(800, scale), waves(800, 1.0)] {
            draw_tables(&columns, &data, &samples).iter().for_each(|f| drop(sound(f)));
        }
    }
    let svg = sound(&draw_tables(&columns, &waves(4000, 1e30), &[])[0]);
    assert!(texts(&svg).iter().any(|t| t == "a, ×10³⁰" || t == "a, ×10²⁹"), "{:?}", texts(&svg));
}

#[test]
fn constant_columns() {
    let columns = [Column::real("a"), Column::real("b"), Column::integer("c")];
    for value in [0.0, -0.0, 5.0, -1e30, 1e-30, f64::MAX, f64::MIN_POSITIVE] {
        for rows in [1, 2000] {
            let data = vec![value; 3 * rows];
            draw_tables(&columns, &data, &data).iter().for_each(|f| drop(sound(f)));
        }
    }
}

#[test]
fn names_cannot_break_the_file_or_the_layout() {
    let evil = "a<b>&\"'\u{0}\u{1b}[31m\u{202e}\u{ffff}\n</svg>]]>";
    let long = "wide ".repeat(40);
    let columns =
        [Column::real(evil), Column::real(long.as_str()), Column::real("中文"), Column::real("")];
    let data = waves(400, 1.0);
    for figure in draw_tables(&columns, &data, &data) {
        let svg = sound(&figure);
        assert!(!svg.contains('\u{1b}') && !svg.contains('\u{202e}'));
        assert!(texts(&svg).iter().any(|t| t.starts_with("wide") && t.ends_with('…')));
        assert!(texts(&svg).iter().all(|t| t.chars().count() < 200));
    }
}

#[test]
fn losses_of_every_kind() {
    let point = |step: u64, train: f64, valid: Option<f64>| LossPoint {
        step,
        train: Some(train),
        valid,
        learning_rate: 1e-3,
    };
    let histories: [Vec<LossPoint>; 7] = [
        vec![],
        vec![point(0, f64::NAN, Some(f64::NAN))],
        vec![point(7, 1.0, None)],
        vec![point(5, 2.0, Some(3.0)), point(5, 1.0, None), point(1, 4.0, None)],
        (0..500)
            .map(|i| point(i, if i % 50 == 3 { f64::MAX } else { -1e-30 }, Some(1e30)))
            .collect(),
        (0..500).map(|i| point(i, f64::INFINITY, (i % 9 == 0).then_some(-0.0))).collect(),
        vec![
            point(u64::MAX, 1.0, None),
            LossPoint { learning_rate: f64::NAN, ..point(0, 2.0, None) },
        ],
    ];
    for history in &histories {
        for best_step in [None, Some(0), Some(7), Some(u64::MAX)] {
            sound(
                &draw_loss_curve(&LossCurveConfig { best_step, ..LossCurveConfig::new(history) })
                    .unwrap(),
            );
        }
    }
}

#[test]
fn densities_and_grids_of_every_kind() {
    let places = [-1.0, 0.0, 0.5, 4.0];
    let points = [0.0, 0.1, f64::NAN, 0.0, 1e300, -1e300, 0.3, f64::INFINITY];
    let lines = [
        GridLine {
            axis: 0,
            value: 0.0,
            points: vec![[0.0, 0.0], [f64::NAN, 1.0], [1e300, -1e300], [1.0, 1.0]],
        },
        GridLine { axis: 9, value: f64::NAN, points: vec![] },
    ];
    for density in [0.0, 1.0, 1e-320, f64::MAX, f64::NAN, f64::INFINITY, -1.0] {
        let mut values = vec![density; 16];
        values[5] = 0.5;
        let mut config = Density2dConfig::new(["a", "<b>"], &places, &places, &values);
        sound(&draw_density2d(&config).unwrap());
        (config.points, config.grid) = (Matrix::new(&points, 2).unwrap(), &lines);
        let figure = draw_density2d(&config).unwrap();
        sound(&figure);
        assert!(figure.notes().iter().any(|n| n.starts_with("Outside the axes: 1 data row")));
    }
}

#[test]
fn arrays_that_disagree_are_refused() {
    let columns = [Column::real("a"), Column::real("b")];
    let wide = Matrix::empty(3);
    let two = Matrix::empty(2);
    assert!(matches!(draw_pairs(&PairsConfig::new(&columns, wide, two)), Err(PlotError::Shape(_))));
    assert!(draw_marginals(&MarginalsConfig::new(&columns, two, wide)).is_err());
    assert!(draw_calibration(&CalibrationConfig::new(&columns, wide)).is_err());
    for (xs, n) in [(&[0.0, 1.0][..], 3), (&[0.0], 1), (&[1.0, 0.0], 4), (&[0.0, f64::NAN], 4)] {
        let density = vec![1.0; n];
        let found = draw_density2d(&Density2dConfig::new(["a", "b"], xs, xs, &density));
        assert!(matches!(found, Err(PlotError::Shape(_))), "{xs:?}");
    }
}

#[test]
fn pages_hold_their_figures_and_have_a_limit() {
    let loss = draw_loss_curve(&LossCurveConfig::new(&[])).unwrap();
    let page = compose(&[loss.clone(), loss.clone()], Stack::Vertical);
    assert_eq!((page.width(), page.height()), (loss.width(), 2.0 * loss.height()));
    let row = compose(&[loss.clone(), page], Stack::Horizontal);
    assert_eq!((row.width(), row.height()), (2.0 * loss.width(), 2.0 * loss.height()));
    sound(&row);
    assert!(compose(&[], Stack::Vertical).to_png().is_ok());
    let tower = compose(&vec![loss; 100], Stack::Vertical);
    assert!(matches!(tower.to_png(), Err(PlotError::Limit(_))));
}

#[test]
fn files_appear_whole_and_only_as_svg_or_png() {
    let folder = tempfile::tempdir().unwrap();
    let figure = draw_loss_curve(&LossCurveConfig::new(&[])).unwrap();
    for name in ["a.svg", "b.PNG"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "old").unwrap();
        figure.save(&path).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > 500);
    }
    for name in ["c.pdf", "c", ".svg"] {
        let found = figure.save(&folder.path().join(name));
        assert!(matches!(found, Err(PlotError::Format(_))), "{name}");
    }
    let found = figure.save(&folder.path().join("no/such/folder.svg"));
    assert!(matches!(found, Err(PlotError::Io { .. })));
    std::fs::create_dir(folder.path().join("d.svg")).unwrap();
    assert!(figure.save(&folder.path().join("d.svg")).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left behind");
}

/// Between levels there is nothing: names stand on the axes, pairs are squares, and numbers at a level boxes, whatever the rows hold.
#[test]
fn levels_are_named_and_no_contours_lie_between_them() {
    let names = |n: usize| (0..n).map(|i| format!("level {i} <of> many")).collect::<Vec<_>>();
    let columns = [
        Column::of_levels("town", names(3)),
        Column::of_levels("tree", names(40)),
        Column::real("x"),
    ];
    let row = |i: usize| [(i % 3) as f64, (i * i % 40) as f64, (i as f64 * 0.37).sin()];
    let rows = |n: usize| (0..n).flat_map(row).collect::<Vec<f64>>();
    // Forty levels have no room for boxes.
    let legend = [
        "areas of squares are shares",
        "boxes hold 50 %, whiskers 90 %",
        "dots are medians of a level",
    ];
    for (data, samples) in [(0, 400), (400, 0), (2000, 2000), (1, 1)] {
        let [pairs, ..] = draw_tables(&columns, &rows(data), &rows(samples));
        let found = texts(&sound(&pairs));
        assert_eq!(legend.iter().all(|text| found.iter().any(|t| t == text)), samples > 300);
        assert!(!found.iter().any(|text| text.starts_with("lines hold")), "{found:?}");
        // What all names begin with is left out where they are cut.
        assert!(found.iter().any(|text| text.starts_with("…1 <of>")), "{found:?}");
    }
    // What is missing, beyond all levels or no number breaks nothing.
    let odd = [f64::NAN, 1e300, 2.0, -1.0, 7.0, f64::INFINITY, 1.0, f64::NAN, 0.0];
    draw_tables(&columns, &odd.repeat(200), &odd.repeat(200)).iter().for_each(|f| drop(sound(f)));
}
