//! Images as a process meets them: from a file to a model, scores, sheets and files again.

mod support;

use std::fs;
use std::path::Path;

use support::{Ran, names, npy, run_in};

const SMALL: &str =
    "--transforms 2 --hidden 12 --bins 4 --steps 20 --batch 32 --threads 1 --seed 1";

/// Images of 4 x 4 numbers, bright to the left or to the right, and as an IDX pair with which it is.
fn write_images(folder: &Path) {
    let side = |i: usize| i * 7 % 3 % 2;
    let pixel = |i: usize, j: usize| {
        let is_bright = (j % 4 < 2) == (side(i) == 0);
        (if is_bright { 200 } else { 0 } + (i * 31 + j * 17) % 40) as u8
    };
    let data: Vec<u8> = (0..120).flat_map(|i| (0..16).map(move |j| pixel(i, j))).collect();
    fs::write(folder.join("images.npy"), npy("'|u1'", "(120, 4, 4)", &data)).expect("written");
    let mut idx = vec![0, 0, 8, 3, 0, 0, 0, 120, 0, 0, 0, 4, 0, 0, 0, 4];
    idx.extend(&data);
    fs::write(folder.join("images-idx3-ubyte"), idx).expect("written");
    let mut idx = vec![0, 0, 8, 1, 0, 0, 0, 120];
    idx.extend((0..120).map(|i| side(i) as u8));
    fs::write(folder.join("labels-idx1-ubyte"), idx).expect("written");
}

fn run(folder: &Path, line: &str) -> Ran {
    let ran = run_in(folder, line);
    eprintln!("{line}\n{}{}", ran.stderr, ran.stdout);
    ran
}

#[test]
fn images_become_a_model_and_models_images() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_images(folder);
    let fitted = run(folder, &format!("fit images.npy --out m.safetensors {SMALL}"));
    fitted.expect(0, &["images 4 x 4"]);
    let found = run(folder, "evaluate m.safetensors images.npy --json").expect(0, &[]).json();
    let [bits, draws] = ["bits_per_dim", "draws"].map(|key| found[key].as_f64().expect("a number"));
    assert!(bits < 8.0 && draws == 1.0, "{found}");
    let more = run(folder, "evaluate m.safetensors images.npy --draws 8 --json").json();
    let [of_eight, eight] =
        ["bits_per_dim", "draws"].map(|key| more[key].as_f64().expect("a number"));
    assert!(eight == 8.0 && of_eight != bits && (of_eight - bits).abs() < 0.05, "{more} {found}");
    run(folder, "inspect m.safetensors").expect(0, &[]);
    // All numbers of the small images are among those of the larger ones.
    let larger = npy("'|u1'", "(40, 6, 6)", &[7; 40 * 36]);
    fs::write(folder.join("larger.npy"), larger).expect("written");
    let said = ["expected images of 4 x 4", "found 6 x 6"];
    run(folder, "evaluate m.safetensors larger.npy").expect(3, &said);
    run(folder, "score m.safetensors larger.npy").expect(3, &said);
    let valid = format!("fit images.npy --valid larger.npy --out n.safetensors {SMALL}");
    run(folder, &valid).expect(3, &said);

    // A score has no use for a table of pixels.
    run(folder, "score m.safetensors images.npy --out s.csv").expect(0, &[]);
    let scores = fs::read_to_string(folder.join("s.csv")).expect("read");
    assert!(scores.starts_with("log_prob\n") && scores.lines().count() == 121, "{scores}");

    run(folder, "sample m.safetensors -n 9 --seed 1 --out sheet.png").expect(0, &[]);
    run(folder, "sample m.safetensors -n 3 --seed 1 --out many/").expect(0, &[]);
    assert_eq!(names(&folder.join("many")), ["000001.png", "000002.png", "000003.png"]);
    run(folder, "sample m.safetensors -n 3 --seed 1 --out many/").expect(5, &["not empty"]);
    // With --force none of another model stays among them, and nothing else goes.
    for name in ["000007.png", "mine.png"] {
        fs::write(folder.join("many").join(name), "").expect("written");
    }
    run(folder, "sample m.safetensors -n 3 --seed 1 --force --out many/").expect(0, &[]);
    let left = ["000001.png", "000002.png", "000003.png", "mine.png"];
    assert_eq!(names(&folder.join("many")), left);
    fs::remove_file(folder.join("many/mine.png")).expect("removed");
    run(folder, "sample m.safetensors -n 50 --seed 1 --out again.npy").expect(0, &[]);
    let files = run(folder, "score m.safetensors many --out f.csv");
    files.expect(0, &[]);
    let scores = fs::read_to_string(folder.join("f.csv")).expect("read");
    assert!(scores.starts_with("file,log_prob\n000001.png,"), "{scores}");
    // The same draws, as files and as an array.
    run(folder, "score m.safetensors again.npy --out a.csv").expect(0, &[]);
    let array = fs::read_to_string(folder.join("a.csv")).expect("read");
    let of_file = scores.lines().nth(1).expect("a row").split(',').nth(1);
    assert_eq!(array.lines().nth(1), of_file);

    let drawn = run(folder, "plot m.safetensors images.npy --kind all --rows 9 --out p.png");
    drawn.expect(0, &[]);
    for kind in ["images", "interpolation", "temperature", "loss"] {
        assert!(folder.join(format!("p-{kind}.png")).exists(), "{kind}");
    }
    run(folder, "plot m.safetensors --kind pairs --out q.png").expect(2, &["--kind images"]);
    run(folder, "check m.safetensors images.npy").expect_one_of(&[0, 1]);
}

#[test]
fn a_model_of_classes_draws_what_it_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_images(folder);
    let line = format!("fit images-idx3-ubyte --context label --out m.safetensors {SMALL}");
    let line = line.replace("--steps 20", "--steps 400 --lr 0.005 --context-dropout 0.2");
    run(folder, &line).expect(0, &["context label=category"]);
    fs::write(folder.join("ask.csv"), "label\n0\n1\n").expect("written");
    run(folder, "sample m.safetensors --context ask.csv --repeats 100 --seed 1 --out s.csv")
        .expect(0, &[]);
    let text = fs::read_to_string(folder.join("s.csv")).expect("read");
    let left = |line: &str| -> bool {
        let cells: Vec<f64> =
            line.split(',').skip(1).map(|c| c.parse().expect("a number")).collect();
        let sum =
            |half: usize| (0..16).filter(|j| j % 4 / 2 == half).map(|j| cells[j]).sum::<f64>();
        sum(0) > sum(1)
    };
    let right = text.lines().skip(1).filter(|line| left(line) == line.starts_with("0,")).count();
    assert!(right >= 190, "{right} of 200: {text}");
    let guided = "sample m.safetensors --context ask.csv --guidance 1 --seed 1 --with-log-prob";
    let guided = run(folder, guided).expect(0, &[]).stdout;
    assert!(guided.lines().skip(1).all(|line| left(line) == line.starts_with("0,")), "{guided}");
    run(folder, "sample m.safetensors --context ask.csv --guidance 101").expect(2, &["-1 to 100"]);
    // One class alone tells nothing and does no harm.
    let idx = fs::read(folder.join("images-idx3-ubyte")).expect("read");
    fs::write(folder.join("plain-images-idx3-ubyte"), idx).expect("written");
    let one = [&[0, 0, 8, 1, 0, 0, 0, 120][..], &[5; 120]].concat();
    fs::write(folder.join("plain-labels-idx1-ubyte"), one).expect("written");
    let plain =
        format!("fit plain-images-idx3-ubyte --context label --out one.safetensors {SMALL}");
    run(folder, &plain).expect(0, &["tells the model nothing"]);
    let told = "classify m.safetensors images-idx3-ubyte --draws 2 --out told.csv";
    run(folder, told).expect(0, &["120 of 120 rows"]);
    let told = fs::read_to_string(folder.join("told.csv")).expect("read");
    assert!(told.starts_with("label,predicted_label,probability,log_prob\n"), "{told}");
    run(folder, "classify m.safetensors images.npy").expect(0, &["120 rows told"]);
    let without = line.replace(" --context-dropout 0.2", "").replace("m.safe", "n.safe");
    run(folder, &without.replace("--steps 400", "--steps 2")).expect(0, &[]);
    run(folder, "sample n.safetensors --context ask.csv --guidance 1")
        .expect(2, &["--context-dropout"]);
    run(folder, "plot m.safetensors images-idx3-ubyte --kind all --rows 4 --out p.png")
        .expect(0, &[]);
    run(folder, "plot m.safetensors --out q.png").expect(2, &["conditional"]);
}

#[test]
fn learned_noise_is_of_images() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_images(folder);
    let fit = format!("fit images.npy --out m.safetensors --dequantize learned {SMALL}");
    run(folder, &fit).expect(0, &[]);
    let inspected = run(folder, "inspect m.safetensors").expect(0, &[]);
    assert!(inspected.stdout.contains("dequantise"), "{}", inspected.stdout);
    run(folder, "evaluate m.safetensors images.npy --draws 4").expect(0, &[]);
    run(folder, &format!("{fit} --model tarflow --force")).expect(2, &["nsf-image"]);
    run(folder, "fit images.npy --out n.safetensors --dequantize y0x0").expect(2, &["learned"]);
}

#[test]
fn images_with_noise_are_of_images() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_images(folder);
    let fit = format!("fit images.npy --out m.safetensors --noise 0.05 {SMALL}");
    let fitted = run(folder, &fit).expect(0, &[]);
    assert!(fitted.stdout.contains("images with noise"), "{}", fitted.stdout);
    let inspected = run(folder, "inspect m.safetensors").expect(0, &[]);
    assert!(inspected.stdout.contains("noise of 12.750 levels"), "{}", inspected.stdout);
    let found = run(folder, "evaluate m.safetensors images.npy").expect(0, &[]);
    assert!(found.stdout.contains("no bound of what a code"), "{}", found.stdout);
    run(folder, "evaluate m.safetensors images.npy --draws 4").expect(2, &["--noise"]);
    run(folder, "sample m.safetensors -n 3 --out many.npy").expect(0, &[]);
    // Of noise and all it is a flow, whatever twenty steps have taught it.
    let checked = run(folder, "check m.safetensors images.npy");
    for passed in ["pass  round_trip", "pass  log_det", "pass  normalisation"] {
        assert!(checked.stdout.contains(passed), "{checked:?}");
    }
    run(folder, "plot m.safetensors images.npy --kind all --rows 4 --out p.png").expect(0, &[]);
    run(folder, &format!("{fit} --force --dequantize learned")).expect(2, &["one of them"]);
    run(folder, "fit images.npy --out n.safetensors --noise 0.9").expect(2, &["0.5"]);
    fs::write(folder.join("t.csv"), "a,b\n1,2\n3,5\n").expect("written");
    run(folder, "fit t.csv --out n.safetensors --noise 0.1").expect(3, &["--noise", "a table"]);
}

/// Clips of a bright column that goes to the right.
fn write_clips(folder: &Path) {
    let pixel = |clip: usize, frame: usize, j: usize| {
        let is_bright = j % 4 == (clip + frame) % 4;
        (if is_bright { 200 } else { 0 } + (clip * 31 + frame * 7 + j * 17) % 40) as u8
    };
    let frame = |c: usize, f: usize| (0..16).map(move |j| pixel(c, f, j));
    let clip = |c: usize| (0..6).flat_map(move |f| frame(c, f));
    let data: Vec<u8> = (0..40).flat_map(clip).collect();
    fs::write(folder.join("clips.npy"), npy("'|u1'", "(40, 6, 4, 4)", &data)).expect("written");
}

#[test]
fn clips_become_a_model_and_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_clips(folder);
    let fitted = run(folder, &format!("fit clips.npy --frames 2 --out m.safetensors {SMALL}"));
    // The last clip of every ten validates.
    fitted.expect(0, &["frames 4 x 4, each given the 2 before it", "216 rows to train, 24"]);
    let inspected = run(folder, "inspect m.safetensors").expect(0, &[]);
    assert!(inspected.stdout.contains("frames of clips, 4 x 4, given 2"), "{}", inspected.stdout);
    let found = run(folder, "evaluate m.safetensors clips.npy --json").expect(0, &[]).json();
    assert_eq!(found["frames"][1]["rows"], 40, "{found}");
    assert_eq!(found["frames"][2]["rows"], 160, "{found}");

    run(folder, "sample m.safetensors -n 5 --seed 1 --out new.gif").expect(0, &["5 frames"]);
    let same = |line: &str| run(folder, line).expect(0, &["5 frames"]);
    same("sample m.safetensors -n 5 --seed 1 --out new.apng");
    same("sample m.safetensors -n 5 --seed 1 --out new.npy");
    for (file, name) in [("new.gif", "new.gif"), ("new.apng", "new.apng"), ("new.npy", "1")] {
        run(folder, &format!("score m.safetensors {file} --out s.csv --force")).expect(0, &[]);
        let scores = fs::read_to_string(folder.join("s.csv")).expect("read");
        let start = format!("earlier,clip,frame,log_prob\n0,{name},1,");
        assert!(scores.starts_with(&start) && scores.lines().count() == 6, "{scores}");
    }
    let file = fs::File::open(folder.join("new.gif")).expect("opened");
    let mut command = support::diffeo();
    command.args(["evaluate", "m.safetensors", "-"]).current_dir(folder).stdin(file);
    Ran::from(command.output().expect("runs")).expect(0, &[]);
    let on = "sample m.safetensors --context new.gif -n 3 --repeats 4 --seed 1 --out on.npy";
    run(folder, on).expect(0, &["3 frames of 4 clips"]);
    let array = fs::read(folder.join("on.npy")).expect("read");
    assert!(String::from_utf8_lossy(&array[..128]).contains("(4, 3, 4, 4)"));
    run(folder, "sample m.safetensors --context clips.npy -n 2 --out all.gif").expect(0, &[]);
    run(folder, "plot m.safetensors clips.npy --kind all --rows 4 --out p.png").expect(0, &[]);
    for kind in ["continuation", "images", "interpolation", "temperature", "loss"] {
        assert!(folder.join(format!("p-{kind}.png")).exists(), "{kind}");
    }
    run(folder, "plot m.safetensors --out q.png").expect(0, &[]);
    run(folder, "check m.safetensors clips.npy").expect_one_of(&[0, 1]);
    // A clip of its own begins, and a table is none.
    run(folder, "sample m.safetensors -n 3 --out x.csv").expect(2, &[".gif"]);
    run(folder, "sample m.safetensors --out x.gif").expect(2, &["-n"]);
    run(folder, "sample m.safetensors -n 3 --with-log-prob --out x.gif").expect(2, &["clips"]);
    fs::write(folder.join("t.csv"), "a,b\n1,2\n3,4\n5,7\n").expect("written");
    run(folder, "fit t.csv --frames 2 --out n.safetensors").expect(3, &["expected clips"]);
    run(folder, "evaluate m.safetensors t.csv").expect(3, &["expected clips"]);
    let both = "fit clips.npy --frames 2 --context label --out n.safetensors";
    run(folder, both).expect(2, &["--context"]);
    run(folder, "fit clips.npy --frames 99 --out n.safetensors").expect(2, &["--frames"]);
}

#[test]
fn what_is_about_tables_is_refused_with_images() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_images(folder);
    let fit = |more: &str| run(folder, &format!("fit images.npy --out m.safetensors {more}"));
    fit("--any-subset").expect(2, &["images are modelled whole"]);
    fit("--model auto").expect(2, &["nsf-image"]);
    fit("--levels 16").expect(3, &["y0x0"]);
    fit("--patch 3").expect(2, &["use 4"]);
    fs::write(folder.join("t.csv"), "a,b\n1,2\n3,4\n5,7\n").expect("written");
    run(folder, "fit t.csv --out m.safetensors --levels 16").expect(3, &["images"]);
    run(folder, "fit t.csv --out m.safetensors --model tarflow").expect(2, &["images"]);
    assert!(!folder.join("m.safetensors").exists());
}
