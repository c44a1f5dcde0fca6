"""A provisioned host is left alone: in check mode, and by a second run after a reboot."""

from plays import play


def test_check_mode_has_nothing_to_change():
    result = play("--check", "--diff")
    assert result.returncode == 0, result.output
    assert set(result.stats("changed").values()) == {0}, result.output


def test_a_run_after_the_reboot_changes_nothing():
    result = play()
    assert result.returncode == 0, result.output
    assert set(result.stats("changed").values()) == {0}, result.output
