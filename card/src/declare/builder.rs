//! How a probe declares, in ordinary code, what it records and what comes of it.

use std::borrow::Cow;
use std::ops::{Div, Mul, Sub};

use super::{
    Better, Declaration, Derive, Edge, Estimator, Level, Metric, Mode, NoiseClass, Proof, Quantity,
    ReportOnly, Select, Text, Unit, mark_repeats,
};
use crate::counters::Event;

/// What a probe declares, in the order in which readers show it.
///
/// ```
/// use probecard_card::declare::{Declare, Estimator, NoiseClass, Unit};
///
/// let mut d = Declare::new("tlb", "reach of the data TLBs");
/// d.family("tlb");
/// let latency = d.quantity("latency", Unit::Ns, Estimator::LowerQuartile);
/// let few = latency.with("part", "few");
/// d.metric("tlb.l1_entries", NoiseClass::T1, few.last_before("pages", 1.0), "pages that it holds");
/// assert_eq!(d.finish().metrics[0].unit, Unit::Count);
/// ```
#[derive(Debug)]
pub struct Declare {
    declaration: Declaration,
    family: Text,
    report_only: Option<ReportOnly>,
}

impl Declare {
    /// Nothing declared yet.
    pub fn new(probe: &'static str, summary: &'static str) -> Declare {
        let declaration = Declaration {
            probe: Cow::Borrowed(probe),
            summary: Cow::Borrowed(summary),
            method: 1,
            quantities: Vec::new(),
            metrics: Vec::new(),
            proofs: Vec::new(),
        };
        Declare { declaration, family: Cow::Borrowed(""), report_only: None }
    }

    /// What was declared.
    pub fn finish(mut self) -> Declaration {
        mark_repeats(&mut self.declaration.metrics);
        self.declaration
    }

    /// The number of the method: one more whenever a kernel or a derivation changes what the numbers
    /// mean, so that old and new ones are not compared as if they were the same.
    pub fn method(&mut self, number: u32) {
        self.declaration.method = number;
    }

    /// The metrics from here on never say by themselves that a machine got worse, or, with `None`, do.
    pub fn report_only(&mut self, why: Option<ReportOnly>) {
        self.report_only = why;
    }

    /// The component family that the metrics from here on speak for.
    pub fn family(&mut self, family: &'static str) {
        self.family = Cow::Borrowed(family);
    }

    /// A quantity that the probe records, in its unit, and the order statistic that stands for the
    /// samples of one round, in metrics, curves and pictures alike.
    pub fn quantity(&mut self, name: impl Into<Text>, unit: Unit, estimator: Estimator) -> Points {
        self.quantity_where(name, &[], unit, estimator)
    }

    /// The same for those of its points whose parameters have these values, where not all of them
    /// are noisy in the same way.
    pub fn quantity_where(
        &mut self,
        name: impl Into<Text>,
        params: &[(&'static str, &'static str)],
        unit: Unit,
        estimator: Estimator,
    ) -> Points {
        let at = Select::of(name, params);
        self.declaration.quantities.push(Quantity { at: at.clone(), unit, estimator });
        Points { select: at, estimator, end: None }
    }

    /// A metric. Its unit is what its id ends in, and which direction is good follows from the unit:
    /// short times, high rates and ratios, sizes and counts that stay as they are. What is returned
    /// can be told otherwise.
    pub fn metric(
        &mut self,
        id: impl Into<Text>,
        tier: NoiseClass,
        from: impl Into<Derive>,
        summary: impl Into<Text>,
    ) -> &mut Metric {
        let id = id.into();
        let unit = Unit::of_id(&id);
        let quotient = ReportOnly::of_unit(unit);
        let metric = Metric {
            report_only: self.report_only.or(quotient),
            unit,
            better: unit.usually_better(),
            tier,
            family: self.family.clone(),
            from: from.into(),
            summary: summary.into(),
            id,
        };
        let metrics = &mut self.declaration.metrics;
        metrics.push(metric);
        metrics.last_mut().expect("it was just pushed")
    }

    /// A time as two metrics, in core cycles and in nanoseconds.
    pub fn cost(
        &mut self,
        stem: &str,
        tier: NoiseClass,
        from: impl Into<Derive>,
        summary: impl Into<Text>,
    ) {
        let (from, summary) = (from.into(), summary.into());
        for unit in ["cycles", "ns"] {
            self.metric(format!("{stem}_{unit}"), tier, from.clone(), summary.clone());
        }
    }

    /// What a counter must say of these points if the metrics are what they are called.
    pub fn proof<const N: usize>(
        &mut self,
        metrics: [impl Into<Text>; N],
        points: Points,
        event: Event,
        bound: Bound,
    ) {
        let Bound { least, most } = bound;
        let metrics = metrics.map(Into::into).to_vec();
        let Points { select: at, end, .. } = points;
        let proof = Proof { metrics, at, end, event, least, most };
        self.declaration.proofs.push(proof);
    }
}

impl Metric {
    /// Says that another direction is good than the unit lets expect.
    pub fn better(&mut self, better: Better) -> &mut Metric {
        self.better = better;
        self
    }

    /// Says why it never says by itself that a machine got worse.
    pub fn report_only(&mut self, why: ReportOnly) -> &mut Metric {
        self.report_only = Some(why);
        self
    }

    /// Says that it does, though it is a quotient.
    pub fn judged(&mut self) -> &mut Metric {
        self.report_only = None;
        self
    }
}

/// How often an event must happen in one operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    least: Option<f64>,
    most: Option<f64>,
}

/// So often or more.
pub fn at_least(least: f64) -> Bound {
    Bound { least: Some(least), most: None }
}

/// So often or less.
pub fn at_most(most: f64) -> Bound {
    Bound { least: None, most: Some(most) }
}

/// Both ends included.
pub fn between(least: f64, most: f64) -> Bound {
    Bound { least: Some(least), most: Some(most) }
}

/// Points of a declared quantity, which metrics are derived from.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    select: Select,
    estimator: Estimator,
    end: Option<(Text, Edge)>,
}

impl Points {
    /// Only those whose parameter has this value.
    #[must_use]
    pub fn with(&self, name: &'static str, value: impl ToString) -> Points {
        let mut points = self.clone();
        points.select.params.push((Cow::Borrowed(name), Cow::Owned(value.to_string())));
        points
    }

    /// For a proof: only the points where the parameter is least.
    #[must_use]
    pub fn least(&self, x: &'static str) -> Points {
        Points { end: Some((Cow::Borrowed(x), Edge::Least)), ..self.clone() }
    }

    /// For a proof: only the points where the parameter is most.
    #[must_use]
    pub fn most(&self, x: &'static str) -> Points {
        Points { end: Some((Cow::Borrowed(x), Edge::Most)), ..self.clone() }
    }

    /// The estimate of the quantity.
    pub fn value(&self) -> Derive {
        self.statistic(self.estimator)
    }

    /// Another statistic of the same samples: a tail, an extreme.
    pub fn statistic(&self, estimator: Estimator) -> Derive {
        Derive::Value(self.select.clone(), estimator)
    }

    /// Height of a plateau of the curve over `working_set`.
    pub fn plateau(&self, level: Level) -> Derive {
        Derive::Plateau(self.select.clone(), level)
    }

    /// The working set up to which that plateau holds.
    pub fn capacity(&self, level: Level) -> Derive {
        Derive::Capacity(self.select.clone(), level)
    }

    /// Distance of the borders that an access of so many bytes pays for crossing, over its offset.
    pub fn borders(&self, x: &'static str, bytes: f64) -> Derive {
        Derive::Borders(self.select.clone(), Cow::Borrowed(x), bytes)
    }

    /// First value of the parameter from which the curve stays low.
    pub fn step_down(&self, x: &'static str) -> Derive {
        Derive::StepDown(self.select.clone(), Cow::Borrowed(x))
    }

    /// First value of the parameter from which the curve stays high.
    pub fn step_up(&self, x: &'static str) -> Derive {
        Derive::StepUp(self.select.clone(), Cow::Borrowed(x))
    }

    /// Slope of the least-squares line over the parameter.
    pub fn slope(&self, x: &'static str) -> Derive {
        Derive::Slope(self.select.clone(), Cow::Borrowed(x))
    }

    /// Where that line meets zero.
    pub fn intercept(&self, x: &'static str) -> Derive {
        Derive::Intercept(self.select.clone(), Cow::Borrowed(x))
    }

    /// Value of one of the two states of a bimodal quantity.
    pub fn mode(&self, mode: Mode) -> Derive {
        Derive::ModeValue(self.select.clone(), mode)
    }

    /// Share of the samples in the slow state.
    pub fn slow_share(&self) -> Derive {
        Derive::SlowShare(self.select.clone())
    }

    /// The lowest of the selected settings.
    pub fn lowest(&self) -> Derive {
        Derive::Lowest(self.select.clone())
    }

    /// The highest of the selected settings.
    pub fn highest(&self) -> Derive {
        Derive::Highest(self.select.clone())
    }

    /// The last value of the parameter before the curve leaves its beginning by so many cycles.
    pub fn last_before(&self, x: &'static str, cycles: f64) -> Derive {
        Derive::LastBefore(self.select.clone(), Cow::Borrowed(x), cycles)
    }

    /// Where the curve has covered this share of the way from its beginning to its end.
    pub fn crossing(&self, x: &'static str, share: f64) -> Derive {
        Derive::Crossing(self.select.clone(), Cow::Borrowed(x), share)
    }

    /// This curve where the other one reaches this share of its highest value, over the same
    /// parameter.
    pub fn at_share(&self, rates: &Points, x: &'static str, share: f64) -> Derive {
        let (curve, rates) = (self.select.clone(), rates.select.clone());
        Derive::AtShare(curve, rates, Cow::Borrowed(x), share)
    }

    /// How often an event happened in one operation.
    pub fn count(&self, event: Event) -> Derive {
        Derive::Count(self.select.clone(), event)
    }
}

impl From<Points> for Derive {
    fn from(points: Points) -> Derive {
        points.value()
    }
}

impl Derive {
    /// So many units in the time of this one: GB/s from ns per byte.
    #[must_use]
    pub fn rate(self, amount: f64) -> Derive {
        Derive::Rate(amount, vec![self])
    }

    /// A multiple of this one.
    #[must_use]
    pub fn times(self, factor: f64) -> Derive {
        Derive::Times(factor, vec![self])
    }

    /// The power of two that this one is near to.
    #[must_use]
    pub fn power_of_two(self) -> Derive {
        Derive::PowerOfTwo(vec![self])
    }

    /// As a share of what is published for the metric of that id on this microarchitecture.
    #[must_use]
    pub fn of_published(self, id: impl Into<Text>) -> Derive {
        Derive::OfPublished(vec![self], id.into())
    }

    /// The value on which most of these methods agree.
    pub fn vote<const N: usize>(methods: [Derive; N]) -> Derive {
        Derive::Vote(methods.to_vec())
    }
}

macro_rules! operator {
    ($operator:ident $function:ident $variant:ident) => {
        impl<T: Into<Derive>> $operator<T> for Derive {
            type Output = Derive;
            fn $function(self, other: T) -> Derive {
                Derive::$variant(vec![self, other.into()])
            }
        }
        impl<T: Into<Derive>> $operator<T> for Points {
            type Output = Derive;
            fn $function(self, other: T) -> Derive {
                Derive::from(self).$function(other)
            }
        }
    };
}
operator!(Sub sub Difference);
operator!(Div div Quotient);
operator!(Mul mul Product);
