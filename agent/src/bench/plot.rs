//! Plots as SVG: points with their spread over named places, and bars. What they show stands in their label too.

use askama::Template;

use super::report::Spread;
use super::table::rate;

/// Size of the drawing area of a plot, in units of its view box.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;

/// Room for the axis at the left and below.
const LEFT: f64 = 72.0;
const BOTTOM: f64 = 28.0;

/// Room above.
const TOP: f64 = 10.0;

/// Lines of the grid.
const GRID_LINES: u32 = 4;

/// A line of points.
pub(super) struct Series {
    pub(super) name: String,
    /// At each place in turn; places without a figure are left out.
    pub(super) points: Vec<Option<Spread>>,
}

/// Rates over named places, with the limit drawn in where it is known.
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) places: Vec<String>,
    pub(super) series: Vec<Series>,
    pub(super) limits: Vec<Option<f64>>,
}

#[derive(Template)]
#[template(path = "plot.html")]
struct PlotTemplate {
    title: String,
    label: String,
    grid: Vec<GridLine>,
    places: Vec<(f64, String)>,
    series: Vec<DrawnSeries>,
    limit: String,
    keys: Vec<(usize, String)>,
    right: f64,
    below: f64,
}

struct GridLine {
    y: f64,
    label: String,
}

struct DrawnSeries {
    number: usize,
    line: String,
    points: Vec<DrawnPoint>,
}

struct DrawnPoint {
    x: f64,
    y: f64,
    top: f64,
    bottom: f64,
    label: String,
}

/// The next figure of 1, 2, 2.5 or 5 times a power of ten.
fn round_up(figure: f64) -> f64 {
    let power = 10_f64.powf(figure.max(1.0).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    power * steps.into_iter().find(|step| figure <= power * step).unwrap_or(10.0)
}

impl Plot {
    /// The plot as a figure of a page.
    pub(super) fn draw(&self) -> Result<String, askama::Error> {
        let tops = self.series.iter().flat_map(|series| series.points.iter().flatten().map(|spread| spread.max));
        let most = round_up(tops.chain(self.limits.iter().flatten().copied()).fold(1.0, f64::max));
        let x = |place: usize| LEFT + WIDTH * (place as f64 + 0.5) / self.places.len().max(1) as f64;
        let y = |figure: f64| TOP + HEIGHT * (1.0 - figure / most);
        let grid_line = |number: u32| {
            let figure = most * f64::from(number) / f64::from(GRID_LINES);
            GridLine { y: y(figure), label: rate(figure) }
        };
        let drawn = |(number, series): (usize, &Series)| {
            let points: Vec<DrawnPoint> = (series.points.iter().enumerate())
                .filter_map(|(place, spread)| {
                    let spread = spread.as_ref()?;
                    let label = format!(
                        "{}, {}: {} ({} to {})",
                        series.name,
                        self.places[place],
                        rate(spread.median),
                        rate(spread.min),
                        rate(spread.max)
                    );
                    Some(DrawnPoint { x: x(place), y: y(spread.median), top: y(spread.max), bottom: y(spread.min), label })
                })
                .collect();
            let line = points.iter().map(|point| format!("{:.1},{:.1}", point.x, point.y)).collect::<Vec<_>>().join(" ");
            DrawnSeries { number, line, points }
        };
        let limit = self.limits.iter().enumerate();
        let limit = limit.filter_map(|(place, limit)| Some(format!("{:.1},{:.1}", x(place), y((*limit)?))));
        let series: Vec<DrawnSeries> = self.series.iter().enumerate().map(drawn).collect();
        let words: Vec<&str> = series.iter().flat_map(|series| series.points.iter().map(|point| point.label.as_str())).collect();
        PlotTemplate {
            title: self.title.clone(),
            label: format!("{}. {}", self.title, words.join("; ")),
            grid: (0..=GRID_LINES).map(grid_line).collect(),
            places: self.places.iter().enumerate().map(|(place, name)| (x(place), name.clone())).collect(),
            limit: limit.collect::<Vec<_>>().join(" "),
            keys: self.series.iter().enumerate().map(|(number, series)| (number, series.name.clone())).collect(),
            series,
            right: LEFT + WIDTH,
            below: TOP + HEIGHT + BOTTOM - 8.0,
        }
        .render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_figures() {
        let found = [0.5, 1.0, 1.1, 2.4, 2.6, 6.0, 1.23e9].map(round_up);
        assert_eq!(found, [1.0, 1.0, 2.0, 2.5, 5.0, 10.0, 2e9]);
    }

    #[test]
    fn names_are_escaped_and_points_lie_in_the_plot() {
        let spread = Spread { min: 1e9, median: 2e9, max: 3e9 };
        let series = vec![Series { name: "<script>".into(), points: vec![Some(spread), None] }];
        let plot = Plot { title: "t".into(), places: vec!["a".into(), "b".into()], series, limits: vec![Some(4e9), Some(4e9)] };
        let drawn = plot.draw().unwrap();
        assert!(!drawn.contains("<script>") && drawn.contains("2.00 GB/s (1.00 GB/s to 3.00 GB/s)"), "{drawn}");
        assert_eq!(drawn.matches("<circle").count(), 1);
    }
}
