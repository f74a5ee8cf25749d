"""What a site forbids to machines, and to whom."""

import pytest

from scoft_training.robots import RobotsRules, forbidding_tag


def test_wildcards_and_our_own_group_count():
    rules = RobotsRules("User-agent: *\nDisallow: /*.jpg$\nCrawl-delay: 3\n")
    assert not rules.allows("https://a.example/x/y.jpg")
    assert rules.allows("https://a.example/x/y.png")
    assert rules.delay == 3
    rules = RobotsRules("User-agent: scoft\nDisallow: /\n\nUser-agent: *\nAllow: /\n")
    assert not rules.allows("https://a.example/y.png")
    assert RobotsRules("").allows("https://a.example/y.png")


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (["noai"], "noai"),
        (["nofollow, NoImageAI"], "noimageai"),
        (["all", "noindex"], "noindex"),
        (["none"], "none"),
        (["scoft: noai"], "noai"),
        (["*: noimageindex"], "noimageindex"),
        (["otherbot: noai, noindex"], None),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], "noai"),
        (["max-snippet: 5"], None),
        (["nofollow"], None),
        ([], None),
    ],
)
def test_tags_beside_a_picture(headers, found):
    assert forbidding_tag(headers) == found
