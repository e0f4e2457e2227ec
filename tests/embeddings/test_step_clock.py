from ncaudit.embeddings.step_clock import StepClock, bottleneck


def test_decoding_counts_by_its_threads() -> None:
    clock = StepClock()
    clock.seconds.update(read=1.0, decode=6.0, encode=4.0, write=0.5)
    assert clock.shared_by(2) == {"read": 1.0, "decode": 3.0, "encode": 4.0, "write": 0.5}


def test_the_bottleneck_is_the_longest_step() -> None:
    assert bottleneck({"read": 1.0, "decode": 3.0, "encode": 4.0, "write": 0.5}) == "encode"
