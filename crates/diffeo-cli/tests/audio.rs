//! `diffeo audio` as its users run it.

mod support;

use std::path::Path;

use diffeo_audio::Recording;
use support::{Ran, run_in};

/// Sounds of two speakers, one of whom is louder.
fn clips(folder: &Path) {
    let clips = folder.join("clips");
    std::fs::create_dir_all(&clips).expect("made");
    for i in 0..6 {
        let (who, loud) = if i % 2 == 0 { ("ann", 0.3) } else { ("bob", 0.1) };
        let tone = |t: usize| (0.2 * (1 + i) as f64 * t as f64).sin() * loud;
        let noise = |t: usize| ((t * t) as f64 * 0.37).sin() * 0.02;
        let samples = (0..1600 + 100 * i).map(|t| tone(t) + noise(t)).collect();
        let sound = Recording { samples, rate: 8000, step: 0.0 };
        sound.write(&clips.join(format!("{i}_{who}.wav"))).expect("written");
    }
}

const SMALL: &str = "--width 4 --layers 3 --window 8 --batch 4 --stretch 0.04 --seed 1";

fn fitted(folder: &Path) -> Ran {
    let line = format!(
        "audio fit clips --name-labels=-,who --mel 4 {SMALL} --steps 30 --out t.safetensors --json"
    );
    run_in(folder, &line).expect(0, &[])
}

#[test]
fn from_clips_to_a_student_and_its_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    clips(at);
    let fit = fitted(at).json();
    assert_eq!((fit["clips"].as_u64(), fit["clips_valid"].as_u64()), (Some(6), Some(1)), "{fit}");
    assert!(fit["valid"]["nats_per_sample"].as_f64().is_some(), "{fit}");
    assert!(!at.join("t.safetensors.checkpoint").exists());

    let evaluate = "audio evaluate t.safetensors clips --name-labels=-,who --json";
    let all = run_in(at, evaluate).expect(0, &[]).json();
    assert_eq!((all["clips"].as_u64(), all["samples"].as_u64()), (Some(6), Some(11_100)));
    assert_eq!(all["linear_prediction"][1]["order"].as_u64(), Some(32));
    assert!(all["flac"]["bits_per_sample"].as_f64().is_some_and(|bits| bits > 1.0), "{all}");
    let held = run_in(at, &format!("{evaluate} --held-out")).expect(0, &[]).json();
    let [found, told] = [&held["nats_per_sample"], &fit["valid"]["nats_per_sample"]];
    let (found, told) = (found.as_f64().unwrap(), told.as_f64().unwrap());
    assert!((found - told).abs() < 0.05, "the clip that validated: {found}, {told}");

    run_in(at, "audio evaluate t.safetensors clips/0_ann.wav --name-labels=-,who --held-out")
        .expect(3, &["6 clips", "these are 1"]);
    let scored = run_in(at, "audio score t.safetensors clips/0_ann.wav --name-labels=-,who");
    let scored = scored.expect(0, &[]);
    let lines: Vec<&str> = scored.stdout.lines().collect();
    assert_eq!(lines[0], "file,samples,log_prob,nats_per_sample,bits_per_sample");
    assert!(lines.len() == 2 && lines[1].starts_with("clips/0_ann.wav,1600,"), "{lines:?}");

    let shown = run_in(at, "inspect t.safetensors").expect(0, &[]).stdout;
    assert!(
        shown.contains("a WaveNet of") && shown.contains("told who: \"ann\", \"bob\""),
        "{shown}"
    );
    let shown = run_in(at, "inspect t.safetensors --json").expect(0, &[]).json();
    assert_eq!((shown["mel"].as_u64(), shown["prediction"].as_u64()), (Some(4), Some(32)));
    assert_eq!(shown["pitch"], true);
    assert!(shown["training"]["valid"]["nats_per_sample"].as_f64().is_some(), "{shown}");

    let distill = format!(
        "audio distill t.safetensors clips --name-labels=-,who {SMALL} --flows 2 --steps 6 --out s.safetensors --json"
    );
    let distilled = run_in(at, &distill).expect(0, &[]).json();
    assert!(distilled["valid"]["kl"].as_f64().is_some_and(f64::is_finite), "{distilled}");

    let more = distill.replace("--flows 2", "--from s.safetensors").replace("out s.", "out s2.");
    let more = more.replace("--width 4 --layers 3 --window 8", "");
    let went_on = run_in(at, &more).expect(0, &[]).json();
    assert_eq!(went_on["parameters"], distilled["parameters"]);
    let [before, after] = [&distilled, &went_on].map(|found| found["valid"]["kl"].as_f64());
    assert!(after < before, "{before:?} {after:?}");
    run_in(at, &more.replace("--from s.", "--from t.").replace("out s2.", "out s3."))
        .expect(2, &["expected a student of this teacher", "found WaveNet"]);

    for model in ["t", "s"] {
        let line = format!(
            "audio sample {model}.safetensors --like clips/1_bob.wav --label who=bob --seed 2 --out {model}.wav --json"
        );
        let sampled = run_in(at, &line).expect(0, &[]).json();
        assert_eq!(sampled["samples"].as_u64(), Some(1700));
        let sound = Recording::read(&at.join(format!("{model}.wav"))).expect("a sound");
        assert_eq!((sound.samples.len(), sound.rate), (1700, 8000));
        run_in(at, &line).expect(5, &["--force"]);
    }
    let many = "audio sample s.safetensors -n 3 --seconds 0.1 --like clips/1_bob.wav --label who=ann --seed 2 --out many";
    run_in(at, many).expect(0, &[]);
    assert!(at.join("many/3.wav").is_file());
    run_in(at, "audio plot clips/0_ann.wav t.wav s.wav --out sounds.png").expect(0, &[]);
    assert!(std::fs::metadata(at.join("sounds.png")).expect("drawn").len() > 10_000);
}

#[test]
fn a_flow_needs_no_teacher() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    clips(at);
    let line = "audio fit clips --model waveflow --lines 8 --flows 2 --width 4 --layers 2 --name-labels=-,who --mel 4 --batch 4 --stretch 0.04 --seed 1 --steps 20 --out f.safetensors --json";
    let fit = run_in(at, line).expect(0, &["2 flows over 8 lines"]).json();
    assert_eq!(fit["model"], "waveflow", "{fit}");
    let evaluate = "audio evaluate f.safetensors clips --name-labels=-,who --held-out --json";
    let held = run_in(at, evaluate).expect(0, &[]).json();
    let [found, told] = [&held["nats_per_sample"], &fit["valid"]["nats_per_sample"]];
    assert!((found.as_f64().unwrap() - told.as_f64().unwrap()).abs() < 0.05, "{found}, {told}");
    let sample = "audio sample f.safetensors -n 2 --like clips/1_bob.wav --label who=bob --seed 2 --out drawn";
    run_in(at, sample).expect(0, &[]);
    let sound = Recording::read(&at.join("drawn/2.wav")).expect("a sound");
    assert_eq!(sound.samples.len(), 1700);
    let distill =
        "audio distill f.safetensors clips --name-labels=-,who --steps 2 --out s.safetensors";
    run_in(at, distill).expect(2, &["--model wavenet", "f.safetensors"]);
    run_in(at, "audio fit clips --model waveflow --lines 7 --out g.safetensors")
        .expect(2, &["80 samples", "7 lines"]);
    run_in(
        at,
        "audio fit clips --model waveflow --output logistics:2 --window 4 --out g.safetensors",
    )
    .expect(2, &["--output is of --model wavenet", "--window"]);
    run_in(at, "audio fit clips --model wavflow --lines 8 --out g.safetensors")
        .expect(2, &["wavenet or waveflow", "\"wavflow\"", "--lines is of"]);
}

#[test]
fn a_training_stops_at_its_time_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    clips(folder.path());
    let line =
        format!("audio fit clips --mel 0 {SMALL} --steps 1000000 --out m.safetensors --json");
    let first = run_in(folder.path(), &format!("{line} --max-time 1s")).expect(0, &[]).json();
    assert_eq!(first["stop_reason"], "max_time");
    run_in(folder.path(), &line).expect(5, &["--force"]);
    let again = run_in(folder.path(), &format!("{line} --resume --max-time 1s"));
    let again = again.expect(0, &["going on from step"]).json();
    assert!(again["steps"].as_u64() > first["steps"].as_u64());
    let other = format!("{line} --resume --lr 0.1");
    run_in(folder.path(), &other).expect(2, &["another training", "learning_rate"]);
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    clips(at);
    std::fs::write(at.join("song.mp3"), b"ID3 not sound").expect("written");
    run_in(at, "audio fit song.mp3 --out m.safetensors").expect(3, &["WAV", "ffmpeg", "song.mp3"]);
    run_in(at, "audio fit --output cubic --width 0")
        .expect(2, &["CLIPS", "--out", "cubic", "--width"]);
    run_in(at, "audio fit clips/0_ann.wav --out m.safetensors").expect(3, &["two clips"]);
    let parts = "audio fit clips --name-labels a,b,c --out m.safetensors";
    run_in(at, parts).expect(3, &["3 parts", "found 2"]);
    fitted(at);
    run_in(at, "audio evaluate t.safetensors clips")
        .expect(3, &["\"who\" is missing", "\"ann\", \"bob\""]);
    let unknown = "audio sample t.safetensors --like clips/0_ann.wav --label who=eve --out x.wav";
    run_in(at, unknown).expect(3, &["\"eve\"", "\"ann\""]);
    run_in(at, "audio sample t.safetensors --label who=ann --out x.wav").expect(2, &["--like"]);
    run_in(at, "audio sample clips/0_ann.wav --out x.wav").expect(4, &["0_ann.wav"]);
    std::fs::write(at.join("labels.csv"), "file,who\n0_ann.wav,ann\n").expect("written");
    let table = "audio fit clips --labels labels.csv --out m.safetensors";
    run_in(at, table).expect(3, &["no row for \"1_bob.wav\""]);
    run_in(at, "score t.safetensors clips/0_ann.wav").expect(4, &["audio"]);
}
