"""Where refinement starts, and which modes count."""

import torch

from galestim.refinement._coordinates import Coordinates
from galestim.refinement._modes import modes
from galestim.refinement._refine import N_STARTS, Refined, _best_of_both, refine
from galestim.simulation import sim_v1_prior

COORDINATES = Coordinates(sim_v1_prior())


def larger(u: torch.Tensor) -> torch.Tensor:
    shapes = COORDINATES.shapes(u)
    return shapes["bulge_ln_radius"] > shapes["disk_ln_radius"]


def test_starts_are_the_best_of_larger_bulges_and_of_larger_disks():
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(3, 40, len(COORDINATES), generator=generator, dtype=torch.float64)
    value = torch.randn(3, 40, generator=generator) - 100 * larger(u)  # no larger bulge is among the best eight
    start = _best_of_both(u, value, COORDINATES)
    assert start.shape == (3, N_STARTS, len(COORDINATES))
    for i in range(3):
        for kind in (True, False):
            some = larger(u[i]) == kind
            best = u[i][some][value[i][some].argsort(descending=True)[: N_STARTS // 2]]
            torch.testing.assert_close(start[i][larger(start[i]) == kind], best)


def test_starts_of_one_kind_fill_up_for_the_other():
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(1, 400, len(COORDINATES), generator=generator, dtype=torch.float64)
    u = u[~larger(u)][None, :30]
    value = torch.arange(30.0)[None]
    torch.testing.assert_close(_best_of_both(u, value, COORDINATES), u[:, -N_STARTS:].flip(1))


def test_a_mode_that_is_worse_counts_if_asked():
    u = torch.tensor([[[0.0], [50.0]]], dtype=torch.float64)
    value, matrix = torch.tensor([[-30.0, 0.0]], dtype=torch.float64), torch.ones(1, 2, 1, 1, dtype=torch.float64)
    assert modes(u, value, matrix, 2, torch.inf).log_evidence.tolist() == [[0.0, -30.0]]
    found = modes(u, value, matrix, 2, 20.0)
    assert found.log_evidence.tolist() == [[0.0, -torch.inf]]
    assert found.place[0, 0].item() == 50.0


class Told:
    """A likelihood of which only the number of pixels is asked, and which rows."""

    def __init__(self, rows: torch.Tensor):
        self.rows, self.n_pixels = rows, torch.full((len(rows),), 1000)

    def of_rows(self, rows: torch.Tensor) -> "Told":
        return Told(self.rows[rows])


def test_galaxies_that_no_shape_describes_are_refined_twice(monkeypatch):
    # χ² of the first and the second try: described at once; mended; no better; hardly better
    chi2 = torch.tensor([[1.0, 2.0, 2.0, 2.0], [0.5, 1.5, 2.5, 1.99]])
    tried = []

    def one_try(likelihood, prior, candidates, n_samples, generator):
        assert (candidates == len(tried)).all()  # the first half, then the second
        rows, found = likelihood.rows, chi2[len(tried)]
        tried.append(rows.tolist())
        draws = {"flux": torch.full((len(rows), n_samples), float(len(tried)))}
        return Refined(draws, *(torch.zeros(len(rows)) for _ in range(3)), found[rows], torch.ones(len(rows)))

    monkeypatch.setattr("galestim.refinement._refine._refined", one_try)
    candidates = torch.cat([torch.zeros(4, 5, 2), torch.ones(4, 5, 2)], 1)
    told = Told(torch.arange(4))
    refined = refine(told, told, candidates, n_samples=3, generator=torch.Generator())
    assert tried == [[0, 1, 2, 3], [1, 2, 3]]
    assert refined.draws["flux"][:, 0].tolist() == [1, 2, 1, 1]
    torch.testing.assert_close(refined.chi2, torch.tensor([1.0, 1.5, 2.0, 2.0]))
