//! Cutting lines at the edges of a panel, before they reach any renderer.

use crate::scene::Point;

/// A rectangle of the page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Frame {
    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub(crate) fn centre(&self) -> Point {
        [self.left + self.width / 2.0, self.top + self.height / 2.0]
    }

    pub(crate) fn contains(&self, [x, y]: Point) -> bool {
        (self.left..=self.right()).contains(&x) && (self.top..=self.bottom()).contains(&y)
    }

    /// The visible parts of a polyline; points that are not finite break it.
    pub(crate) fn clip(&self, line: &[Point]) -> Vec<Vec<Point>> {
        let mut parts: Vec<Vec<Point>> = Vec::new();
        let mut open = false;
        for pair in line.windows(2) {
            let Some((from, to)) = self.clip_segment(pair[0], pair[1]) else {
                open = false;
                continue;
            };
            match parts.last_mut() {
                Some(part) if open && part.last() == Some(&from) => part.push(to),
                _ => parts.push(vec![from, to]),
            }
            open = to == pair[1];
        }
        parts
    }

    /// Liang and Barsky, *A new concept and method for line clipping*, ACM TOG 1984.
    fn clip_segment(&self, from: Point, to: Point) -> Option<(Point, Point)> {
        if !from.iter().chain(&to).all(|c| c.is_finite()) {
            return None;
        }
        // Far enough to be outside of any page, near enough that differences cannot overflow.
        let (from, to) = (from.map(|c| c.clamp(-1e9, 1e9)), to.map(|c| c.clamp(-1e9, 1e9)));
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
        let edges = [
            (-dx, from[0] - self.left),
            (dx, self.right() - from[0]),
            (-dy, from[1] - self.top),
            (dy, self.bottom() - from[1]),
        ];
        for (slope, room) in edges {
            if slope == 0.0 {
                if room < 0.0 {
                    return None;
                }
            } else if slope < 0.0 {
                enter = enter.max(room / slope);
            } else {
                leave = leave.min(room / slope);
            }
        }
        let at = |t: f64| [from[0] + t * dx, from[1] + t * dy];
        (enter <= leave).then(|| {
            let start = if enter == 0.0 { from } else { at(enter) };
            (start, if leave == 1.0 { to } else { at(leave) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Frame = Frame { left: 0.0, top: 0.0, width: 1.0, height: 1.0 };

    #[test]
    fn a_line_through_the_panel_is_cut_at_both_edges() {
        let parts = UNIT.clip(&[[-1.0, 0.5], [2.0, 0.5]]);
        assert_eq!(parts.len(), 1);
        assert!((parts[0][0][0]).abs() < 1e-12 && (parts[0][1][0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_line_that_leaves_and_returns_becomes_two() {
        let parts = UNIT.clip(&[[0.2, 0.2], [0.2, 2.0], [0.8, 2.0], [0.8, 0.2]]);
        assert_eq!(parts.len(), 2);
    }

    #[test]
    fn points_that_are_not_finite_break_the_line() {
        let parts = UNIT.clip(&[[0.1, 0.1], [0.2, 0.2], [f64::NAN, 0.3], [0.4, 0.4], [0.5, 0.5]]);
        assert_eq!(parts.len(), 2);
    }

    #[test]
    fn overflowing_coordinates_never_leave_the_panel() {
        for line in [[[0.5, 0.5], [1e300, -1e300]], [[-1e308, 0.5], [1e308, 0.5]]] {
            for [x, y] in UNIT.clip(&line).concat() {
                assert!((-1e-6..=1.000001).contains(&x) && (-1e-6..=1.000001).contains(&y));
            }
        }
    }
}
