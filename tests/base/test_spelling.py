from tfmo_drive.base.spelling import nearest, suggestion


def test_the_nearest_name_is_offered_whatever_its_case():
    assert nearest("SPARSTY", ["epochs", "Sparsity"]) == "Sparsity"
    assert suggestion("sparsty", ["epochs", "sparsity"]) == 'Did you mean "sparsity"? There is: epochs, sparsity.'


def test_nothing_is_offered_where_nothing_is_near():
    assert nearest("zzz", ["epochs"]) is None
    assert suggestion("zzz", []) == "There is: nothing."


def test_long_lists_are_cut():
    assert suggestion("x", map(str, range(100))).endswith("19 and 80 more.")
