"""Posteriors as the objects of other packages, and theirs as posteriors."""

from __future__ import annotations

from abc import abstractmethod

from numpy.typing import NDArray

from ._statistics import TargetStatistics


class Interchange(TargetStatistics):
    """What other packages make of a posterior, and `Posterior` of theirs; each is imported when it is asked for."""

    @abstractmethod
    def sample(self, n_samples=1000, random_state=None) -> NDArray: ...

    def to_arviz(self, n_samples=1000, random_state=None):
        """Draws as an arviz data set, to plot and compare with its functions.

        Parameters
        ----------
        n_samples : int, default=1000
            Number of draws of each galaxy.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        xarray.DataTree, or arviz.InferenceData if arviz is older than 1.0
            The group ``posterior`` has one chain, and a variable per target with a dimension ``galaxy``, whose
            coordinates are the `ids`, or numbers without them.

        Raises
        ------
        ImportError
            If arviz is not installed.
        ValueError
            If a target is named chain, draw or galaxy.
        """
        from ._arviz import arviz_data, require_arviz

        require_arviz()  # before draws that may take long
        return arviz_data(self.sample(n_samples, random_state), self.target_names, self.units, self.ids)

    @staticmethod
    def from_arviz(data, var_names=None):
        """Posterior of the draws of an arviz data set, such as those of a sampler.

        Parameters
        ----------
        data : xarray.DataTree or arviz.InferenceData
            With a group ``posterior``, whose variables have the dimensions ``chain``, ``draw`` and at most one more,
            that of the galaxies.
        var_names : str, sequence of str or None, default=None
            Variables to take as targets. None: all.

        Returns
        -------
        DrawsPosterior
            All chains, one behind the other. Units are those of the attribute ``units``, ids the labels of the
            galaxies if they are text.

        Raises
        ------
        TypeError
            If `data` has no group ``posterior``.
        ValueError
            If a variable is unknown, or has other dimensions or another number of galaxies than the rest.
        """
        from ._arviz import from_arviz

        return from_arviz(data, var_names)

    def to_qp(self, quantiles=None, latent=False):
        """The distributions of one target as an ensemble of qp, the package of LSST's redshift distributions.

        Parameters
        ----------
        quantiles : sequence of float or None, default=None
            Increasing probabilities, of which the ensemble holds the quantiles in physical units (``qp.quant``).
            None: 200 of them from 0.0025 to 0.9975; but of a mixture whose transform is the identity, the mixture.
        latent : bool, default=False
            Whether to give the exact mixture of Gaussians (``qp.mixmod``) in the latent space of the target's
            transform, such as ln flux.

        Returns
        -------
        qp.Ensemble
            One distribution for each galaxy; the `ids` are ``object_id`` of its ``ancil``.

        Raises
        ------
        ImportError
            If qp is not installed: ``pip install 'galestim[qp]'``.
        ValueError
            If there are several targets, of which ``posterior[name]`` is one; if a galaxy is a missing cutout, for
            which qp has no quantiles; if there are no galaxies; if `quantiles` do not increase; or if `latent`
            comes with them.
        TypeError
            If `latent` is asked of draws.

        Notes
        -----
        Between its quantiles an ensemble interpolates: at them it is exact, between them it is as good as they are
        dense. Of the mixtures, ``pdf`` and ``cdf`` are exact, and ``ppf`` is read off a grid by qp.
        """
        from ._qp import to_qp

        return to_qp(self, quantiles, latent)

    @staticmethod
    def from_qp(ensemble, target_name=None, unit=None, transform=None, n_samples=1000):
        """Posterior of one target from an ensemble of qp.

        Parameters
        ----------
        ensemble : qp.Ensemble
            Of n galaxies; ``object_id`` of its ``ancil`` becomes the `ids`.
        target_name : str or None, default=None
            Name of the target. None: ``y``.
        unit : str, astropy unit or None, default=None
            Its unit.
        transform : None, str or object, default=None
            From physical to latent values, if the ensemble is a mixture in latent space, as in
            `galestim.targets.resolve_transforms`.
        n_samples : int, default=1000
            Number of draws, of no effect on mixtures of Gaussians.

        Returns
        -------
        MixturePosterior or DrawsPosterior
            The mixture itself of ``qp.mixmod``; of other kinds draws, the quantiles in the middle of `n_samples`
            equal shares.

        Raises
        ------
        TypeError
            If `ensemble` is none.
        ValueError
            If `transform` is given for an ensemble that is no mixture, or a component has the width 0.
        """
        from ._qp import from_qp

        return from_qp(ensemble, target_name, unit, transform, n_samples)

    def to_skpro(self):
        """Distribution of skpro, as ``predict_proba`` of its regressors gives them.

        Returns
        -------
        skpro.distributions.base.BaseDistribution
            Galaxies are rows, labelled by the `ids` or numbers, and targets columns. Mean, variance, ``pdf``,
            ``cdf`` and ``ppf`` of each are exact, ``sample`` draws jointly. Draws have no ``pdf``.

        Raises
        ------
        ImportError
            If skpro is not installed: ``pip install 'galestim[skpro]'``.
        """
        from ._skpro import to_skpro

        return to_skpro(self)

    @staticmethod
    def from_skpro(distribution, units=None, n_samples=1000, random_state=None):
        """Posterior from a distribution of skpro, such as ``predict_proba`` of its regressors gives.

        Parameters
        ----------
        distribution : skpro.distributions.base.BaseDistribution
            Rows are galaxies, columns targets. What `to_skpro` made is given back as it was.
        units : sequence of str, astropy units or None, default=None
            Unit of each target.
        n_samples : int, default=1000
            Number of draws, of no effect on Gaussians.
        random_state : int, RandomState instance or None, default=None
            Seed of the order of the draws.

        Returns
        -------
        MixturePosterior or DrawsPosterior
            The Gaussians themselves of ``Normal`` and ``NormalMixture``; of other distributions draws, the quantiles
            in the middle of `n_samples` equal shares. Targets are independent, as skpro has no joint distributions.

        Raises
        ------
        ImportError
            If skpro is not installed.
        ValueError
            If the distribution is a scalar one.
        """
        from ._skpro import from_skpro

        return from_skpro(distribution, units, n_samples, random_state)

    def to_sbi(self, random_state=None):
        """Posteriors with the methods of a posterior of sbi, for its diagnostics and plots.

        Parameters
        ----------
        random_state : int, RandomState instance or None, default=None
            Seed of the draws; each call goes on where the last one ended.

        Returns
        -------
        object
            With ``sample``, ``sample_batched``, ``log_prob``, ``log_prob_batched`` and ``potential``, which take and
            give torch tensors of float64 in physical units and have the shapes of sbi: draws
            ``(*sample_shape, n, k)``. Their `x` are numbers of galaxies ``(n, 1)``, as its attribute ``x`` has them,
            NaN for missing cutouts. Draws have no ``log_prob``.

        Notes
        -----
        sbi itself need not be installed. Draws of its posteriors become a posterior by
        ``Posterior.from_draws(samples.swapaxes(0, 1))``.
        """
        from ._sbi import SBIView

        return SBIView(self, random_state)
