"""Sources that hide labels or mix labelled and unlabelled images."""

import torch

from vaebench.data.images import HIDDEN, Images, MixedSource, UnlabelledSource


def images(count, first=0):
    values = torch.arange(first, first + count)
    return Images(
        values.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous(), values % 3, ("a", "b", "c")
    )


def test_an_unlabelled_source_keeps_images_without_labels():
    source = images(20)
    rows = torch.tensor([3, 19, 0])
    assert torch.equal(UnlabelledSource(source).batch(rows).x, source.batch(rows).x)
    assert UnlabelledSource(source).batch(rows).labels.tolist() == [HIDDEN] * 3
    assert len(UnlabelledSource(source)) == 20


def test_a_mixed_batch_starts_with_labelled_images():
    few, many = images(5, first=100), images(50)
    batch = MixedSource(few, UnlabelledSource(many), labelled_per_batch=3).batch(
        torch.tensor([41, 7, 13, 20, 21, 49, 0])
    )
    shown = (batch.x[:, 0, 0, 0] * 255).round().long()
    assert shown.tolist() == [101, 102, 103, 20, 21, 49, 0]
    assert batch.labels.tolist() == [101 % 3, 102 % 3, 103 % 3, *[HIDDEN] * 4]


def test_at_most_half_of_a_mixed_batch_is_labelled():
    batch = MixedSource(images(5), UnlabelledSource(images(50)), labelled_per_batch=64).batch(torch.arange(10))
    assert (batch.labels != HIDDEN).sum() == 5
    assert len(MixedSource(images(5), UnlabelledSource(images(50)), labelled_per_batch=64)) == 50
