"""Batch normalization shared by devices, which are threads here, against torch's on the whole batch in float64."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from capsedge.errors import WrongUse
from capsedge.models.stem import BatchNorm

CHANNELS = 3


class Meeting:
    """Adds up what the threads bring; each is one device, and all must come."""

    def __init__(self, devices: int) -> None:
        self.parts: list[Tensor] = []
        self.lock = threading.Lock()
        self.barrier = threading.Barrier(devices, timeout=20)

    def summed(self, tensor: Tensor) -> Tensor:
        with self.lock:
            self.parts.append(tensor.detach())
        self.barrier.wait()
        total = torch.stack(self.parts).sum(0)
        if self.barrier.wait() == 0:
            self.parts.clear()
        self.barrier.wait()
        return total

    def with_gradient(self) -> Callable[[Tensor], Tensor]:
        """As `capsedge.training.devices.summed_over_devices`: the gradient of a sum is summed, too."""
        meeting = self

        class Sum(torch.autograd.Function):
            @staticmethod
            def forward(_ctx: object, tensor: Tensor) -> Tensor:
                return meeting.summed(tensor)

            @staticmethod
            def backward(_ctx: object, gradient: Tensor) -> Tensor:
                return meeting.summed(gradient)

        return Sum.apply


def batch(count: int, *, mean: float = 3, deviation: float = 2) -> tuple[Tensor, Tensor]:
    """Images far from mean 0 and deviation 1, and what the loss multiplies the outputs by."""
    generator = torch.Generator().manual_seed(count)
    images = mean + deviation * torch.randn(count, CHANNELS, 4, 5, generator=generator, dtype=torch.float64)
    # float32 holds them: else those of a large mean would be others for the devices.
    return images.float().double(), torch.randn(count, CHANNELS, 4, 5, generator=generator, dtype=torch.float64)


def initialized(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.5, -2.0]))
        norm.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    return norm


def gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def shared(norms: list[BatchNorm], images: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and gradients of the images, of which each device has every n-th, in float32."""
    meeting = Meeting(len(norms))
    outputs, slopes = torch.empty_like(images), torch.empty_like(images)
    errors: list[BaseException] = []

    def device(rank: int) -> None:
        mine = slice(rank, None, len(norms))
        part = images[mine].float().requires_grad_()
        norms[rank].summed = meeting.with_gradient()
        try:
            result = norms[rank](part)
            # Not linear in the output, so that each device's loss depends on all images.
            (factors[mine].float() * result.square()).sum().backward()
        except BaseException as error:
            errors.append(error)
            raise
        outputs[mine], slopes[mine] = result.detach(), gradient(part)

    threads = [threading.Thread(target=device, args=(rank,)) for rank in range(len(norms))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    return outputs, slopes


def pair_of(devices: int) -> tuple[nn.BatchNorm2d, list[BatchNorm]]:
    """Torch's, in float64, and those of the devices."""
    one = initialized(nn.BatchNorm2d(CHANNELS)).double()
    norms = [BatchNorm(CHANNELS) for _ in range(devices)]
    for norm in norms:
        initialized(norm)
    return one, norms


def take_a_step(one: nn.BatchNorm2d, norms: list[BatchNorm], images: Tensor, factors: Tensor) -> None:
    """Normalize a batch, and compare outputs, gradients and running statistics."""
    whole = images.clone().requires_grad_()
    for each in (one, *norms):
        each.zero_grad()
    expected = one(whole)
    (factors * expected.square()).sum().backward()
    outputs, slopes = shared(norms, images, factors)
    torch.testing.assert_close(outputs, expected.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(slopes, whole.grad, rtol=1e-5, atol=1e-5)
    for name, parameter in one.named_parameters():
        # DistributedDataParallel adds these up over the devices.
        found = torch.stack([gradient(norm.get_parameter(name)) for norm in norms]).sum(0)
        torch.testing.assert_close(found.double(), gradient(parameter), rtol=1e-5, atol=1e-4)
    for norm in norms:
        for buffer in ("running_mean", "running_var"):
            found, wanted = norm.get_buffer(buffer), one.get_buffer(buffer)
            torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)
        assert norm.num_batches_tracked == one.num_batches_tracked


@pytest.mark.parametrize(("count", "devices"), [(8, 2), (7, 2), (5, 3), (1, 2), (2, 4)])
def test_devices_together_normalize_as_one_does(count: int, devices: int) -> None:
    """Of 7 images one device has 4 and the other 3; of 1 the other has none."""
    one, norms = pair_of(devices)
    for step in range(3):
        take_a_step(one, norms, *batch(count + step * devices))
    assert one.num_batches_tracked == 3


@pytest.mark.parametrize("mean", [1e3, -1e5])
@pytest.mark.parametrize(("count", "devices"), [(7, 2), (2, 4)])
def test_a_mean_that_is_large_beside_the_deviation_costs_no_digits(mean: float, count: int, devices: int) -> None:
    """The square of the mean is up to 1e10, of which float32 has no digits left for a variance of 1."""
    take_a_step(*pair_of(devices), *batch(count, mean=mean, deviation=1))


def test_pixels_that_are_all_but_equal_have_no_negative_variance() -> None:
    """One of 140 differs in float32's last place, and their mean's square has 16 digits, where float64 rounds."""
    norms = [BatchNorm(CHANNELS) for _ in range(2)]
    images = torch.full((7, CHANNELS, 4, 5), 65_808_296.0, dtype=torch.float64)
    images[0, :, 0, 0] += 4
    outputs, slopes = shared(norms, images, torch.ones_like(images))
    assert outputs.isfinite().all()
    assert slopes.isfinite().all()
    for norm in norms:
        assert (norm.get_buffer("running_var") >= 0.9).all()  # 1 before, and 0.1 of the variance


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_a_single_value_of_a_channel_is_refused_as_by_one_device(devices: int) -> None:
    """One image of one pixel has no deviation. All devices refuse it, also those without an image: none waits."""
    complaint = "a batch of one image has feature maps of a single pixel: set data.size to a larger side, or train"
    with pytest.raises(WrongUse, match=complaint):
        BatchNorm(CHANNELS)(torch.ones(1, CHANNELS, 1, 1))
    norms, meeting, errors = [BatchNorm(CHANNELS) for _ in range(devices)], Meeting(devices), []

    def device(rank: int) -> None:
        norms[rank].summed = meeting.with_gradient()
        with pytest.raises(WrongUse, match=complaint) as error:
            norms[rank](torch.ones(1, CHANNELS, 1, 1)[rank::devices])
        errors.append(error)

    threads = [threading.Thread(target=device, args=(rank,)) for rank in range(devices)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == devices
    for norm in norms:
        assert norm.num_batches_tracked == 0
        assert torch.equal(norm.get_buffer("running_var"), torch.ones(CHANNELS))


def test_in_evaluation_nothing_is_shared() -> None:
    norm = BatchNorm(CHANNELS).eval()

    def refuse(tensor: Tensor) -> Tensor:
        raise AssertionError("a device that evaluates its images waits for none")

    norm.summed = refuse
    images, _ = batch(4)
    torch.testing.assert_close(norm.double()(images), images / (1 + norm.eps) ** 0.5)
