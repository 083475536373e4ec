import math

import pytest
import torch

from common.attenuation import energy_of_water_kev, hu_to_mu, mu_to_hu, water_mu_per_mm
from common.errors import ExitCode, Refusal


@pytest.mark.parametrize(("energy_kev", "cm2_per_g"), [(60.0, 0.2059), (70.0, 0.1929), (80.0, 0.1837), (100.0, 0.1707)])
def test_water_attenuates_as_the_tables_say(energy_kev: float, cm2_per_g: float) -> None:
    # 60, 80 and 100 keV are entries of the NIST table; 70 keV is XCOM's own value, between two entries.
    assert water_mu_per_mm(energy_kev) == pytest.approx(cm2_per_g / 10, rel=0.005)


@pytest.mark.parametrize("energy_kev", [20.0, 41.2, 70.0, 150.0])
def test_the_energy_is_found_again_from_the_attenuation(energy_kev: float) -> None:
    assert energy_of_water_kev(water_mu_per_mm(energy_kev)) == pytest.approx(energy_kev)


@pytest.mark.parametrize("energy_kev", [0.0, -70.0, 19.9, 151.0, math.nan])
def test_energies_outside_the_table_are_refused(energy_kev: float) -> None:
    with pytest.raises(Refusal, match="20 to 150 keV") as refusal:
        water_mu_per_mm(energy_kev)
    assert refusal.value.code is ExitCode.GEOMETRY_INVALID


def test_attenuation_is_linear_on_water_and_air_is_zero() -> None:
    hu = torch.tensor([-3024.0, -1024.0, -1000.0, -500.0, 0.0, 1000.0, 3071.0])
    mu = hu_to_mu(hu, 0.0192)
    torch.testing.assert_close(mu, torch.tensor([0.0, 0.0, 0.0, 0.0096, 0.0192, 0.0384, 0.0781632]))
    torch.testing.assert_close(mu_to_hu(mu, 0.0192), hu.clamp(min=-1000), rtol=1e-5, atol=1e-3)
