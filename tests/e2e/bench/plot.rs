//! Sizes and age of the oldest record over time: one column per load, one line per contender.

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 36.0;
const TOP: f64 = 48.0;
const GAP: f64 = 46.0;
/// Distinct for most eyes (Okabe and Ito), in the order of the contenders.
const COLOURS: [&str; 4] = ["#999999", "#d55e00", "#0072b2", "#009e73"];

/// One load.
pub(super) struct Column<'a> {
    pub(super) title: String,
    pub(super) seconds: f64,
    /// The highest size that is shown.
    pub(super) most: f64,
    /// What size the load is worth.
    pub(super) demand: Vec<(f64, f64)>,
    /// In seconds; twice of it is the highest age that is shown.
    pub(super) objective: f64,
    pub(super) lines: Vec<Line<'a>>,
}

/// One contender.
pub(super) struct Line<'a> {
    /// Its place among the contenders.
    pub(super) place: usize,
    pub(super) sizes: &'a [(f64, i32)],
    pub(super) ages: &'a [(f64, f64)],
}

/// The picture.
pub(super) fn svg(contenders: &[&str], columns: &[Column<'_>]) -> String {
    let shown = f64::from(u32::try_from(columns.len()).unwrap_or(1));
    let (width, height) = (LEFT + shown * (WIDTH + GAP), TOP + 2.0 * (HEIGHT + GAP));
    let mut inner = vec![format!("<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>")];
    let mut x = LEFT;
    let ran = |place: usize| columns.iter().any(|column| column.lines.iter().any(|line| line.place == place));
    for (_, (name, colour)) in contenders.iter().zip(COLOURS).enumerate().filter(|(place, _)| ran(*place)) {
        inner.push(format!("<rect x=\"{x}\" y=\"8\" width=\"14\" height=\"4\" fill=\"{colour}\"/>"));
        inner.push(text(x + 20.0, 14.0, name));
        x += 120.0;
    }
    let mut left = LEFT;
    for column in columns {
        let sizes = Panel { left, top: TOP, seconds: column.seconds, most: column.most * 1.08 };
        let ages = Panel { top: TOP + HEIGHT + GAP, most: column.objective * 2.0, ..sizes };
        inner.push(sizes.frame(&column.title));
        inner.push(sizes.area(&column.demand));
        inner.push(ages.frame("age of the oldest record, s; dashed: the objective"));
        inner.push(ages.mark(column.objective));
        for line in &column.lines {
            let colour = COLOURS.get(line.place).copied().unwrap_or("#000");
            inner.push(sizes.line(&stairs(line.sizes, column.seconds), colour));
            inner.push(ages.line(line.ages, colour));
        }
        left += WIDTH + GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">{}</svg>\n",
        inner.concat()
    )
}

fn text(x: f64, y: f64, words: &str) -> String {
    format!("<text x=\"{x}\" y=\"{y}\" fill=\"#444\">{words}</text>")
}

/// Each size lasts until the next.
fn stairs(sizes: &[(f64, i32)], seconds: f64) -> Vec<(f64, f64)> {
    let ends = sizes.iter().skip(1).map(|(at, _)| *at).chain([seconds]);
    sizes
        .iter()
        .zip(ends)
        .flat_map(|((from, size), to)| [(*from, f64::from(*size)), (to, f64::from(*size))])
        .collect()
}

#[derive(Debug, Clone, Copy)]
struct Panel {
    left: f64,
    top: f64,
    seconds: f64,
    most: f64,
}

impl Panel {
    fn y(&self, value: f64) -> f64 {
        self.top + HEIGHT * (1.0 - (value / self.most).min(1.0))
    }

    fn points(&self, all: &[(f64, f64)]) -> String {
        let point = |(at, value): &(f64, f64)| {
            format!("{:.1},{:.1} ", self.left + WIDTH * (at / self.seconds).min(1.0), self.y(*value))
        };
        all.iter().map(point).collect()
    }

    fn frame(&self, title: &str) -> String {
        let Self { left, top, seconds, most } = *self;
        [
            format!(
                "<rect x=\"{left}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fafafa\" \
                 stroke=\"#ddd\"/>"
            ),
            text(left, top - 6.0, title),
            text(left - 26.0, top + 10.0, &format!("{most:.0}")),
            text(left - 26.0, top + HEIGHT, "0"),
            text(left + WIDTH - 34.0, top + HEIGHT + 14.0, &format!("{seconds:.0} s")),
        ]
        .concat()
    }

    fn area(&self, all: &[(f64, f64)]) -> String {
        let (right, bottom) = (self.left + WIDTH, self.top + HEIGHT);
        format!(
            "<polygon fill=\"#e4e4e4\" points=\"{},{bottom} {}{right},{bottom}\"/>",
            self.left,
            self.points(all)
        )
    }

    fn line(&self, all: &[(f64, f64)], colour: &str) -> String {
        format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            self.points(all)
        )
    }

    fn mark(&self, value: f64) -> String {
        let (y, right) = (self.y(value), self.left + WIDTH);
        format!(
            "<line x1=\"{}\" x2=\"{right}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#b00\" stroke-dasharray=\"6 4\"/>",
            self.left
        )
    }
}
