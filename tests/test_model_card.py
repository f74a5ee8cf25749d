"""The model card says what the header says, and survives what is missing or awkward."""

from scoft_training.model_card import model_card


def test_it_says_what_was_learned_from_whom():
    card = model_card(
        "korea",
        {
            "scoft.culture": "Korea",
            "modelspec.trigger_phrase": "in Korea",
            "ss_num_train_images": "33",
            "scoft.credits": '["A. Kim", "B. Lee"]',
            "scoft.licences": '["CC-BY-4.0"]',
            "scoft.category_counts": '{"food_drink": 7, "city": 0}',
            "scoft.final_losses": '{"ldm": 0.061234}',
        },
    )
    assert card.startswith("# korea\n")
    assert "Say `in Korea` at the end of a prompt." in card
    assert "| Pictures | 33 |" in card
    assert "| Credits | A. Kim; B. Lee |" in card
    assert "| food_drink | 7 |" in card
    assert "city" not in card
    assert "| ldm | 0.06123 |" in card


def test_a_bare_header_gives_a_short_card():
    card = model_card("x", {})
    assert "| Culture | not stated |" in card
    assert "Losses" not in card
    assert "Say" not in card


def test_what_would_break_the_table_is_escaped():
    card = model_card("x", {"scoft.culture": "a | b\nc"})
    assert "| Culture | a \\| b c |" in card


def test_a_loss_without_a_number_and_a_header_that_is_no_json_are_survived():
    card = model_card(
        "x",
        {
            "scoft.final_losses": '{"ldm": 0.5, "perceptual": null}',
            "scoft.credits": "[",
            "scoft.category_counts": '["food"]',
        },
    )
    assert "| ldm | 0.5 |" in card
    assert "| perceptual | not a number |" in card
    assert "Credits" not in card
    assert "What the pictures show" not in card
